"""A plan of capacity: from measured constants to partitions, prototypes, nodes, memory and cost.

Nothing is measured here. Each constant says which command measures it, and is printed with the
plan; what a machine or a network costs is an assumption of whoever asks. See docs/scale.md.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from index.prototypes.bank import ITEMS_PER_PROTOTYPE
from index.prototypes.kmeans import default_prototypes

GB = 1e9
HOURS_A_MONTH = 730
ONE_LEVEL = 20_000
"""So many prototypes are compared with each query; more get a second level above them."""
ROWS_PER_PARTITION = 1_000_000
FEWEST_PARTITIONS, MOST_PARTITIONS = 64, 1024
"""Of a Milvus collection with a partition key."""


@dataclass(frozen=True)
class Assumptions:
    """What a plan rests on; figures of one core of the machine that docs/scale.md names.

    Attributes:
        dim: values of a vector.
        bytes_per_value: in memory: 4 as float32, 1 as IVF_SQ8.
        row_bytes: of a row but its vector: juice, payload, offer, keys.
        table_bytes: of an item in the table of a query worker on a server, without its vector.
        opened_rows: rows compared for a query at recall@10 ≥ .99.
        score_us: to compare a row of 768 values.
        answer_ms: core time of a query but encoding and comparing: rows read, reranked, sent.
        encode_ms: core time to encode a photo.
        write_us: core time of writer and index to write a row.
        changes_per_day: share of the items that change their picture or words in a day.
        utilisation: of cores and memory that is planned for.
        replicas: copies of the index.
        node_cores, node_gb: cores and memory of a node.
        node_usd_per_hour, disk_usd_per_gb_month: what they cost.
    """

    dim: int = 768
    bytes_per_value: int = 1
    row_bytes: int = 3000
    table_bytes: int = 740
    opened_rows: int = 4000
    score_us: float = 0.3
    answer_ms: float = 15.0
    encode_ms: float = 30.0
    write_us: float = 400.0
    changes_per_day: float = 0.05
    utilisation: float = 0.6
    replicas: int = 2
    node_cores: int = 32
    node_gb: int = 256
    node_usd_per_hour: float = 2.0
    disk_usd_per_gb_month: float = 0.1


@dataclass(frozen=True)
class Plan:
    """What so many items and queries need.

    Attributes:
        items, qps: as asked.
        prototypes: that items are keyed by.
        upper_prototypes: above them, compared first; 0 where one level will do.
        partitions: of the Milvus collection, by partition key.
        compared_per_query: prototypes and rows that a query is compared with.
        bank_gb: all prototypes, as half floats.
        vectors_gb: in the memory of index nodes, one copy.
        table_gb: of each query worker.
        disk_gb: full vectors and rows, all copies.
        writes_per_s: rows.
        index_cores, query_cores, write_cores: busy, before utilisation.
        index_nodes, query_nodes: all copies.
        query_shards: parts of the catalog that query workers keep tables of, where one node cannot
            hold the table of all.
        usd_per_month: nodes and disks.
        assumptions: what this rests on.
    """

    items: int
    qps: float
    prototypes: int
    upper_prototypes: int
    partitions: int
    compared_per_query: int
    bank_gb: float
    vectors_gb: float
    table_gb: float
    disk_gb: float
    writes_per_s: float
    index_cores: float
    query_cores: float
    write_cores: float
    index_nodes: int
    query_nodes: int
    query_shards: int
    usd_per_month: int
    assumptions: Assumptions = field(default_factory=Assumptions)

    def json(self) -> dict[str, Any]:
        """The plan for machines."""
        return asdict(self)


def plan_capacity(items: int, qps: float, given: Assumptions) -> Plan:
    """Plan for a catalog.

    Args:
        items: pictures in the index, from 1.
        qps: queries a second at the peak, from 0.
        given: what to assume.
    """
    prototypes = default_prototypes(items)
    upper = math.isqrt(prototypes) if prototypes > ONE_LEVEL else 0
    # Below the upper ones only those of the nearest few are compared: about as many again.
    near = 2 * upper + given.opened_rows // ITEMS_PER_PROTOTYPE * 10 if upper else prototypes
    compared = near + min(items, given.opened_rows)
    wide = given.dim / 768
    writes = items * given.changes_per_day / 86_400
    index_cores = qps * compared * given.score_us * wide / 1e6
    query_cores = qps * (given.encode_ms + given.answer_ms) / 1e3
    write_cores = writes * given.write_us * wide / 1e6
    vectors_gb = items * given.dim * given.bytes_per_value / GB
    bank_gb = (prototypes + upper) * given.dim * 2 / GB
    table_gb = items * given.table_bytes / GB
    usable_gb = given.node_gb * given.utilisation
    usable_cores = given.node_cores * given.utilisation
    index_nodes = given.replicas * math.ceil(
        max(vectors_gb / usable_gb, (index_cores / given.replicas + write_cores) / usable_cores)
    )
    shards = math.ceil((table_gb + bank_gb) / usable_gb)
    query_nodes = shards * max(given.replicas, math.ceil(query_cores / usable_cores / shards))
    disk_gb = given.replicas * items * (given.dim * 4 + given.row_bytes) / GB
    nodes_usd = (index_nodes + query_nodes) * given.node_usd_per_hour * HOURS_A_MONTH
    usd = nodes_usd + disk_gb * given.disk_usd_per_gb_month
    partitions = 2 ** math.ceil(math.log2(max(1, items / ROWS_PER_PARTITION)))
    return Plan(
        items=items,
        qps=qps,
        prototypes=prototypes,
        upper_prototypes=upper,
        partitions=min(MOST_PARTITIONS, max(FEWEST_PARTITIONS, partitions)),
        compared_per_query=compared,
        bank_gb=round(bank_gb, 2),
        vectors_gb=round(vectors_gb, 1),
        table_gb=round(table_gb, 1),
        disk_gb=round(disk_gb, 1),
        writes_per_s=round(writes, 1),
        index_cores=round(index_cores, 1),
        query_cores=round(query_cores, 1),
        write_cores=round(write_cores, 1),
        index_nodes=index_nodes,
        query_nodes=query_nodes,
        query_shards=shards,
        usd_per_month=round(usd),
        assumptions=given,
    )
