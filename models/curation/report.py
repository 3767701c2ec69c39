"""The report of a curation: counts by step, every change explained, the clusters as JSON lines.

A line of CLUSTERS.jsonl is one cluster, or, with a null label, the documents that belong to none:

    {"label": "P-12", "purity": 0.98, "largest_component": 1.0,
     "members": [{"document": "photos/a.webp", "weight": 0.99, "decision": "kept"}, ...]}

``purity`` is the mean probability of the members; ``largest_component`` the share of the members in
the largest connected component of the neighbour graph, below 1 where a cluster has sub-clusters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import orjson
import scipy.sparse
from scipy.sparse.csgraph import connected_components

from models.curation.curate import Curated, Decision
from models.curation.documents import UNKNOWN, Documents
from models.errors import CurationError

PURE_FROM = 0.9
"""Purity from which a cluster counts as pure."""


def report(documents: Documents, curated: Curated) -> dict[str, object]:
    """Counts of every step, and the changes, for JSON."""
    decisions = Counter(curated.decisions)
    lines = [line for line in clusters(documents, curated) if line["label"] is not None]
    purities = [float(str(line["purity"])) for line in lines]
    model = curated.review.model
    return {
        "plan": asdict(curated.plan),
        "propose": {
            "seeds": curated.plan.labels,
            "links": curated.plan.links,
            "inferred_pairs": len(curated.proposal.left),
            "thresholds": {k: round(v, 4) for k, v in curated.proposal.thresholds.items()},
        },
        "organize": {
            "assigned": curated.clusters.assigned,
            "new_clusters": curated.clusters.new,
        },
        "review": {
            "weights": {kind: round(one, 4) for kind, one in curated.review.weights.items()},
            "noise_rate": round(model.noise_rate, 4),
            "sibling_share": round(model.sibling_share, 4),
            "outlier_share": round(model.outlier_share, 4),
        },
        "decisions": {decision.value: decisions[decision] for decision in Decision},
        "clusters": len(lines),
        "purity": round(float(np.mean(purities)), 4) if purities else 0.0,
        "pure_clusters": sum(one >= PURE_FROM for one in purities),
        "changes": changes(documents, curated),
    }


def changes(documents: Documents, curated: Curated) -> list[dict[str, object]]:
    """Every document that did not keep its id, by falling probability that the id was wrong."""
    changed = [
        row for row in by_error_probability(curated) if curated.decisions[row] is not Decision.KEPT
    ]
    return [
        {
            "document": documents.key(row),
            "decision": curated.decisions[row].value,
            "from": documents.name(int(documents.labels[row])) or None,
            "to": _name(curated, row),
            "weight": round(float(curated.weights[row]), 4),
            "error_probability": round(float(curated.error_probability[row]), 4),
            "explanation": curated.explanations[row],
        }
        for row in changed
    ]


def by_error_probability(curated: Curated) -> list[int]:
    """All rows, those first whose id is most probably wrong."""
    return [int(row) for row in np.argsort(-curated.error_probability, kind="stable")]


def clusters(documents: Documents, curated: Curated) -> Iterator[dict[str, object]]:
    """The lines of CLUSTERS.jsonl, by label; the last one has what belongs to none."""
    largest = largest_components(curated)
    order = np.argsort(curated.labels, kind="stable")
    used, starts = np.unique(curated.labels[order], return_index=True)
    parts = dict(zip((int(label) for label in used), np.split(order, starts[1:]), strict=True))
    unassigned = parts.pop(UNKNOWN, None)
    for label, rows in parts.items():
        yield {
            "label": curated.names[label],
            "purity": round(float(curated.weights[rows].mean()), 4),
            "largest_component": round(largest[label], 4),
            "members": [_member(documents, curated, int(row)) for row in rows],
        }
    if unassigned is not None:
        yield {
            "label": None,
            "members": [_member(documents, curated, int(row)) for row in unassigned],
        }


def largest_components(curated: Curated) -> dict[int, float]:
    """Share of each cluster's members in its largest component of the first view's graph."""
    labels = np.full(len(curated.review.own), UNKNOWN)
    labels[curated.inverse] = curated.labels
    left, right, _ = curated.review.view_spaces[0].neighbours.edges()
    inside = (labels[left] == labels[right]) & (labels[left] != UNKNOWN)
    graph = scipy.sparse.csr_matrix(
        (np.ones(int(inside.sum())), (left[inside], right[inside])), (len(labels), len(labels))
    )
    _, components = connected_components(graph, directed=False)
    rows = np.flatnonzero(labels != UNKNOWN)
    pairs, sizes = np.unique(np.stack([labels[rows], components[rows]]), axis=1, return_counts=True)
    largest: Counter[int] = Counter()
    total: Counter[int] = Counter()
    for label, size in zip(pairs[0], sizes, strict=True):
        largest[int(label)] = max(largest[int(label)], int(size))
        total[int(label)] += int(size)
    return {label: largest[label] / total[label] for label in total}


def write_clusters(documents: Documents, curated: Curated, path: Path) -> None:
    """Write CLUSTERS.jsonl.

    Raises:
        CurationError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for line in clusters(documents, curated):
                file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
    except OSError as error:
        raise CurationError(f"cannot write {path}: {error.strerror}") from error


def read_clusters(path: Path) -> dict[str, tuple[str, float]]:
    """Label and weight of each document that CLUSTERS.jsonl gives one, by the document's key.

    Raises:
        CurationError: missing, or a line is no cluster; the message says which.
    """
    found: dict[str, tuple[str, float]] = {}
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, start=1):
                try:
                    line = orjson.loads(text)
                    for member in line["members"] if line["label"] is not None else ():
                        found[member["document"]] = line["label"], float(member["weight"])
                except (ValueError, KeyError, TypeError) as error:
                    raise CurationError(
                        f"{path}:{number} is no cluster ({error!r}); write the file again with "
                        "`lookstream curate DIR --out FILE`"
                    ) from error
    except OSError as error:
        raise CurationError(f"cannot read {path}: {error.strerror}") from error
    return found


def _member(documents: Documents, curated: Curated, row: int) -> dict[str, object]:
    member: dict[str, object] = {
        "document": documents.key(row),
        "weight": round(float(curated.weights[row]), 4),
        "decision": curated.decisions[row].value,
    }
    explanation = curated.explanations[row]
    return {**member, "explanation": explanation} if explanation else member


def _name(curated: Curated, row: int) -> str | None:
    label = int(curated.labels[row])
    return curated.names[label] if label != UNKNOWN else None
