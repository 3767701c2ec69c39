"""Any sequence of writes, moves, deletes and flushes leaves what a dictionary would hold."""

import time
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from index.item import Item, content_digest, tombstone
from index.milvus.config import MilvusConfig
from index.milvus.open import open_collection
from index.prototypes.kmeans import build
from tests.index.conftest import unit_vectors

VECTORS = unit_vectors(12, dim=8)
BANK = build(VECTORS, "m", prototypes=4)
IDS = st.sampled_from([f"i{number}" for number in range(6)])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), JSON)


class Catalog(RuleBasedStateMachine):
    config: MilvusConfig

    def __init__(self) -> None:
        super().__init__()
        self.collection = open_collection(self.config, BANK, f"m{uuid4().hex[:8]}")
        self.model: dict[str, Item] = {}

    @rule(item_id=IDS, vector=st.integers(0, 11), payload=OBJECTS, juice=st.binary(max_size=40))
    def write(self, item_id: str, vector: int, payload: dict[str, Any], juice: bytes) -> None:
        self.put(
            Item(
                item_id=item_id,
                product_id=f"p-{item_id}",
                prototype=int(BANK.assign(VECTORS[vector][None])[0][0]),
                vector=VECTORS[vector],
                payload=payload,
                versions={"content": time.monotonic_ns()},
                juice=juice,
            )
        )

    @rule(item_id=IDS)
    def write_tombstone(self, item_id: str) -> None:
        self.put(tombstone(item_id, f"p-{item_id}", BANK.dim, {"delete": 1}))

    @rule(item_ids=st.lists(IDS, max_size=3))
    def delete(self, item_ids: list[str]) -> None:
        self.collection.delete(item_ids)
        for item_id in item_ids:
            self.model.pop(item_id, None)

    @rule()
    def flush(self) -> None:
        self.collection.flush()

    @rule()
    def reopen(self) -> None:
        self.collection.close()
        self.collection = open_collection(self.config, BANK, self.collection.name)

    @rule(query=st.integers(0, 11), prototypes=st.none() | st.lists(st.integers(0, 3), min_size=1))
    def search(self, query: int, prototypes: list[int] | None) -> None:
        [hits] = self.collection.search(VECTORS[query][None], 10, [prototypes])
        # Lite has one partition, and searches all of it whatever it is asked for.
        scope = [item for item in self.model.values() if not item.is_tombstone]
        assert {hit.item.item_id for hit in hits} == {item.item_id for item in scope}
        for hit in hits:
            vector = self.model[hit.item.item_id].vector
            assert vector is not None
            assert hit.similarity == pytest.approx(float(vector @ VECTORS[query]), abs=1e-5)

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        stored = self.collection.get([f"p-i{number}" for number in range(6)], vectors=True)
        assert [item.item_id for item in stored] == sorted(self.model)
        for item in stored:
            assert content_digest(item) == content_digest(self.model[item.item_id])
            assert item.versions == self.model[item.item_id].versions
        assert self.collection.count() == sum(not item.is_tombstone for item in self.model.values())

    def put(self, item: Item) -> None:
        self.collection.write([item])
        self.model[item.item_id] = item

    def teardown(self) -> None:
        self.collection.drop_all()
        self.collection.close()


@pytest.mark.slow
def test_the_collection_behaves_as_a_dictionary(lite_config: MilvusConfig) -> None:
    Catalog.config = lite_config
    run_state_machine_as_test(
        Catalog,
        settings=settings(
            max_examples=15,
            stateful_step_count=15,
            suppress_health_check=list(HealthCheck),
        ),
    )
