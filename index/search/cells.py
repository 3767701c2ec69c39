"""Cells: the vectors of a table, those of one prototype side by side.

Scoring the rows of a prototype is one product of a matrix and a vector, of memory that lies
together. A query opens cells, most promising first, until none of those left can be expected to
hold anything better than what was found: 40 of 1,000 cells, for a recall@10 above .99.

What a cell can hold follows from how its vectors lie around their centre. A vector x and a query q
with cosines s and t to the centre have the cosine

    s t + √((1 − s²) (1 − t²)) r

where r is the cosine between what is left of both without the centre. Of r = 1 nothing would follow
(in many dimensions nearly all cells could hold anything), but the nearest neighbours of a query
have r below .5: see `MARGIN`. The range of s is known of each cell.

Measured in decision 35.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from index.item import Vector
from index.vectors import Matrix, Rows

MARGIN = 0.43
"""r of the above up to which a cell is opened: .25 at the median of the true ten, .42 at 95 %."""
SURE = 10
"""A cell is opened as long as it may hold one of so many best."""
SEEN_PER_HIT = 10
"""So many rows are scored for each hit that is wanted, at least: the hits after the tenth."""
BUDGET_S = 0.05
"""No cell is opened after so long, however promising."""
TIE = 1e-6
"""Cosines this close are equal; then ids decide, so that all of them are kept."""
GROWN = 1.5
"""A cell that has grown or shrunk by this is measured again."""

Allowed = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Opened:
    """What was found, and where.

    Attributes:
        rows: best first, (n,).
        cosines: theirs, (n,).
        cells: how many were opened.
        seen: how many rows were scored.
        complete: whether no cell that is left can be expected to hold anything better; otherwise
            time was over.
    """

    rows: Rows
    cosines: NDArray[np.float32]
    cells: int = 0
    seen: int = 0
    complete: bool = True


@dataclass(eq=False)
class _Cell:
    """The rows of one prototype: the first `size` of two arrays with room for more."""

    vectors: Matrix
    rows: Rows = field(default_factory=lambda: np.zeros(8, np.int64))
    size: int = 0
    measured: int = 0

    def add(self, row: int, vector: Vector) -> int:
        if self.size == len(self.rows):
            room = self.size + max(8, self.size // 4)
            rows, vectors = np.zeros(room, np.int64), np.empty((room, len(vector)), np.float32)
            rows[: self.size], vectors[: self.size] = self.rows, self.vectors
            self.rows, self.vectors = rows, vectors
        self.rows[self.size], self.vectors[self.size] = row, vector
        self.size += 1
        return self.size - 1

    @property
    def outdated(self) -> bool:
        """Whether its centre is of quite other contents."""
        return not self.measured / GROWN <= self.size <= self.measured * GROWN


class Cells:
    """Rows by prototype; not thread-safe.

    Args:
        dim: length of the vectors.
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._number_of: dict[int, int] = {}
        self._cells: list[_Cell] = []
        self._centres = np.zeros((0, dim), np.float32)
        self._low, self._high = np.zeros(0, np.float32), np.zeros(0, np.float32)
        self._cell_of, self._place_of = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._outdated: set[int] = set()

    def __len__(self) -> int:
        """How many cells there are."""
        return len(self._cells)

    def put(self, row: int, prototype: int, vector: Vector) -> None:
        """Add a row that is not there."""
        number = self._number_of.get(prototype)
        if number is None:
            number = self._number_of[prototype] = len(self._cells)
            self._cells.append(_Cell(np.empty((8, self.dim), np.float32)))
            if number == len(self._centres):
                room = max(64, 2 * number)
                self._centres = np.resize(self._centres, (room, self.dim))
                self._low, self._high = np.resize(self._low, room), np.resize(self._high, room)
        if row >= len(self._cell_of):
            room = max(64, 2 * row)
            self._cell_of = np.resize(self._cell_of, room)
            self._place_of = np.resize(self._place_of, room)
        cell = self._cells[number]
        self._cell_of[row], self._place_of[row] = number, cell.add(row, vector)
        if cell.outdated:
            self._outdated.add(number)
        else:
            cosine = float(self._centres[number] @ vector)
            self._low[number] = min(self._low[number], cosine)
            self._high[number] = max(self._high[number], cosine)

    def drop(self, row: int) -> None:
        """Take out a row that is there."""
        number, place = int(self._cell_of[row]), int(self._place_of[row])
        cell = self._cells[number]
        cell.size -= 1
        moved = cell.rows[cell.size]
        cell.rows[place], cell.vectors[place] = moved, cell.vectors[cell.size]
        self._place_of[moved] = place
        if cell.outdated:
            self._outdated.add(number)

    def search(
        self,
        query: Vector,
        limit: int,
        groups: Rows,
        allowed: Allowed | None = None,
        budget_s: float = BUDGET_S,
    ) -> Opened:
        """The rows nearest to a query, the best one of each group.

        Args:
            query: of length 1, (d,).
            limit: groups wanted, from 1.
            groups: of each row; rows of products of which one is wanted have the product's.
            allowed: which rows may be found, (rows,); None: all.
            budget_s: how long cells are opened.
        """
        reach = self._reach(query)
        rows, cosines = np.zeros(0, np.int64), np.zeros(0, np.float32)
        ends, opened, seen = time.perf_counter() + budget_s, 0, 0
        for number in np.argsort(-reach).tolist():
            sure = len(cosines) >= min(limit, SURE) and seen >= SEEN_PER_HIT * limit
            if sure and reach[number] <= cosines[min(limit, SURE) - 1]:
                break
            if opened and time.perf_counter() > ends and len(cosines) >= limit:
                return Opened(rows, cosines, opened, seen, complete=False)
            cell = self._cells[number]
            some, near = cell.rows[: cell.size], cell.vectors[: cell.size] @ query
            if allowed is not None:
                chosen = allowed[some]
                some, near = some[chosen], near[chosen]
            opened, seen = opened + 1, seen + len(some)
            if len(cosines) >= limit:
                better = near >= cosines[-1]
                some, near = some[better], near[better]
            if len(some):
                rows, cosines = _best(
                    np.concatenate([rows, some]), np.concatenate([cosines, near]), groups, limit
                )
        return Opened(rows, cosines, opened, seen)

    def similarities(self, rows: Rows, query: Vector) -> NDArray[np.float32]:
        """The cosines of some rows, different ones, with a unit vector."""
        if 4 * len(rows) > sum(cell.size for cell in self._cells):  # cheaper than to sort the rows
            every = np.empty(len(self._cell_of), np.float32)
            for cell in self._cells:
                every[cell.rows[: cell.size]] = cell.vectors[: cell.size] @ query
            return every[rows]
        cell_of = self._cell_of[rows]
        order = np.argsort(cell_of, kind="stable")
        cosines = np.empty(len(rows), np.float32)
        numbers, starts = np.unique(cell_of[order], return_index=True)
        ends = [*starts[1:].tolist(), len(rows)]
        for number, start, end in zip(numbers.tolist(), starts.tolist(), ends, strict=True):
            cell, some = self._cells[number], order[start:end]
            places = self._place_of[rows[some]]
            if 4 * len(some) > cell.size:  # cheaper than a copy of the rows
                cosines[some] = (cell.vectors[: cell.size] @ query)[places]
            else:
                cosines[some] = cell.vectors[places] @ query
        return cosines

    def vectors(self, rows: Rows) -> Matrix:
        """The vectors of some rows, (n, d)."""
        found = np.empty((len(rows), self.dim), np.float32)
        for at, row in enumerate(rows.tolist()):
            found[at] = self._cells[self._cell_of[row]].vectors[self._place_of[row]]
        return found

    def _reach(self, query: Vector) -> NDArray[np.float32]:
        """The highest cosine that can be expected in each cell; −2 in an empty one."""
        self.measure()
        count = len(self._cells)
        reach = expected(self._centres[:count] @ query, self._low[:count], self._high[:count])
        reach[self._low[:count] > self._high[:count]] = -2
        return reach

    def measure(self) -> None:
        """Find the centres of the cells that have changed; a search does so too."""
        for number in self._outdated:
            self._measure(number)
        self._outdated.clear()

    def _measure(self, number: int) -> None:
        """Find the centre of a cell, and how near to it its vectors are."""
        cell = self._cells[number]
        cell.measured = cell.size
        vectors = cell.vectors[: cell.size]
        mean = vectors.sum(axis=0)
        self._centres[number] = mean / max(float(np.linalg.norm(mean)), 1e-9)
        cosines = vectors @ self._centres[number]
        self._low[number] = cosines.min(initial=2)
        self._high[number] = cosines.max(initial=-2)


def expected(
    cosines: NDArray[np.float32], low: NDArray[np.float32], high: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The highest cosine with a query that can be expected of vectors around centres.

    Args:
        cosines: of the centres with the query.
        low, high: of the vectors with their centre.
    """
    across = np.maximum(1 - cosines * cosines, 0)
    best = np.clip(cosines / np.sqrt(cosines**2 + MARGIN**2 * across + 1e-12), low, high)
    found: NDArray[np.float32] = best * cosines + MARGIN * np.sqrt(
        np.maximum(1 - best * best, 0) * across
    )
    return found


def _best(
    rows: Rows, cosines: NDArray[np.float32], groups: Rows, limit: int
) -> tuple[Rows, NDArray[np.float32]]:
    """The best row of each group, `limit` of them and what ties with the last."""
    order = np.argsort(-cosines, kind="stable")
    _, first = np.unique(groups[rows[order]], return_index=True)
    order = order[np.sort(first)]
    if len(order) > limit:
        last = cosines[order[limit - 1]] - TIE
        order = order[: max(limit, int(np.searchsorted(-cosines[order], -last, side="right")))]
    return rows[order], cosines[order]
