"""Cells find what comparing every row finds, whatever was put in and taken out."""

from __future__ import annotations

import numpy as np
import pytest

from index.prototypes.kmeans import build
from index.search import cells as module
from index.search.cells import Cells, expected
from index.vectors import Matrix, Rows
from tests.index.conftest import unit_vectors

DIM = 16
NO_LIMIT = np.inf
"""However busy the machine is."""


def clustered(count: int, seed: int = 0) -> tuple[Matrix, Rows]:
    """Vectors around forty centres, and the prototype of each."""
    rng = np.random.default_rng(seed)
    centres = unit_vectors(40, DIM, seed)
    vectors = centres[rng.integers(40, size=count)] + 0.15 * rng.standard_normal((count, DIM))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return vectors, build(vectors, "m", prototypes=40).assign(vectors)[0]


def filled(vectors: Matrix, prototypes: Rows) -> Cells:
    cells = Cells(DIM)
    for row, (vector, prototype) in enumerate(zip(vectors, prototypes.tolist(), strict=True)):
        cells.put(row, prototype, vector)
    return cells


def nearest(vectors: Matrix, rows: Rows, query: Matrix, limit: int) -> list[int]:
    order = np.argsort(-(vectors[rows] @ query), kind="stable")[:limit]
    return [int(one) for one in rows[order]]


def test_few_cells_hold_the_true_ten() -> None:
    vectors, prototypes = clustered(4000)
    cells = filled(vectors, prototypes)
    every = np.arange(4000)
    found = [cells.search(query, 10, every, budget_s=NO_LIMIT) for query in vectors[:100]]
    shares = [
        len(set(one.rows[:10].tolist()) & set(nearest(vectors, every, query, 10))) / 10
        for one, query in zip(found, vectors[:100], strict=True)
    ]
    assert np.mean(shares) >= 0.99
    assert np.mean([one.cells for one in found]) < 0.5 * len(cells)
    assert all(one.seen < 4000 and one.complete for one in found)


def test_nothing_can_be_expected_that_is_nearer_than_it_is_if_all_margin_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MARGIN", 1.0)
    vectors, prototypes = clustered(500)
    cells = filled(vectors, prototypes)
    every = np.arange(500)
    for query in unit_vectors(20, DIM, seed=1):
        found = cells.search(query, 10, every, budget_s=NO_LIMIT)
        assert found.rows.tolist() == nearest(vectors, every, query, 10)


def test_rows_come_and_go() -> None:
    vectors, prototypes = clustered(600)
    cells, rng = filled(vectors, prototypes), np.random.default_rng(2)
    there = dict(enumerate(prototypes.tolist()))
    for _ in range(400):
        row = int(rng.integers(600))
        if row in there:
            cells.drop(row)
            del there[row]
        else:
            there[row] = int(rng.integers(60))  # also another prototype than it had
            cells.put(row, there[row], vectors[row])
    rows = np.array(sorted(there))
    query = vectors[0]
    assert cells.similarities(rows, query) == pytest.approx(vectors[rows] @ query, abs=1e-6)
    np.testing.assert_array_equal(cells.vectors(rows), vectors[rows])
    found = cells.search(query, len(rows), np.arange(600), budget_s=NO_LIMIT)
    assert sorted(found.rows.tolist()) == rows.tolist()


def test_an_empty_cell_is_not_opened() -> None:
    vectors, _ = clustered(20)
    cells = filled(vectors, np.array([0] * 10 + [1] * 10))
    for row in range(10):
        cells.drop(row)
    found = cells.search(vectors[0], 20, np.arange(20), budget_s=NO_LIMIT)
    assert sorted(found.rows.tolist()) == list(range(10, 20))
    cells.put(3, 0, vectors[3])
    assert cells.search(vectors[3], 1, np.arange(20), budget_s=NO_LIMIT).rows.tolist() == [3]


def test_one_row_of_each_group_and_only_what_is_allowed() -> None:
    vectors, prototypes = clustered(900)
    cells = filled(vectors, prototypes)
    groups, allowed = np.arange(900) // 3, np.arange(900) % 2 == 0
    for query in vectors[:10]:
        found = cells.search(query, 300, groups, allowed, budget_s=NO_LIMIT)
        best: dict[int, float] = {}
        for row in np.flatnonzero(allowed).tolist():
            best[row // 3] = max(best.get(row // 3, -2), float(vectors[row] @ query))
        assert found.cosines == pytest.approx(sorted(best.values(), reverse=True), abs=1e-6)


def test_no_time_is_left_for_more() -> None:
    vectors, prototypes = clustered(2000)
    cells = filled(vectors, prototypes)
    found = cells.search(vectors[0], 10, np.arange(2000), budget_s=0.0)
    assert not found.complete
    assert len(found.rows) >= 10


def test_what_can_be_expected_of_a_cell() -> None:
    one = np.ones(1, np.float32)
    assert expected(0.6 * one, one, one) == pytest.approx(0.6)  # all of it in the centre
    wide, narrow = expected(0.5 * one, 0.2 * one, 0.9 * one), expected(0.5 * one, 0.8 * one, one)
    assert wide >= narrow
