"""The arrays of a bank that is being updated, and a sample of the members of each prototype."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from index.prototypes.bank import Name, PrototypeBank
from index.prototypes.from_clusters import MIN_MEAN_NORM
from index.vectors import Matrix, Rows

MAX_COSINES = 2**26
"""Cosines computed at once, at most: 256 MB."""


@dataclass
class Summary:
    """Statistics of a prototype since the update began.

    Attributes:
        mean: moving average of its members (d,), not normalised.
        members: a uniform sample of the vectors that joined, each (d,).
        seen: how many the sample was drawn from.
    """

    mean: Matrix
    members: list[Matrix] = field(default_factory=list)
    seen: int = 0


class MutableBank:
    """A bank's prototypes by row; rows are never renumbered, only marked as removed.

    Args:
        bank: to start from; without counts, each prototype gets an equal share of `built_from`.
        summaries: from before, by name.

    Attributes:
        names: of all rows, removed ones included.
        rows: the row of each name that is not removed.
        counts: members of each row.
        changed: rows that changed and are not removed.
        summaries: of the rows that vectors have joined.
    """

    def __init__(self, bank: PrototypeBank, summaries: dict[Name, Summary]) -> None:
        self.names = list(bank.names)
        self.rows = dict(bank.rows)
        share = max(1, bank.built_from // len(bank))
        self.counts = [share] * len(bank) if bank.counts is None else bank.counts.tolist()
        self.summaries = {self.rows[name]: summary for name, summary in summaries.items()}
        self.changed: set[int] = set()
        self._centroids = bank.centroids.copy()
        self._removed: list[int] = []

    def __len__(self) -> int:
        """Number of rows, removed ones included."""
        return len(self.names)

    @property
    def centroids(self) -> Matrix:
        """Unit vectors of all rows (len, d), removed ones included."""
        return self._centroids[: len(self)]

    def block(self) -> int:
        """How many vectors to compare with all rows at once, within `MAX_COSINES`."""
        return max(1, MAX_COSINES // len(self))

    def nearest(self, vectors: Matrix, exclude: Sequence[int] = ()) -> tuple[Rows, Matrix]:
        """The nearest row to each of (n, d) vectors and its cosine; `exclude`: one row for each."""
        cosines = vectors @ self.centroids.T
        cosines[:, self._removed] = -np.inf
        if len(exclude):
            cosines[np.arange(len(exclude)), exclude] = -np.inf
        nearest = cosines.argmax(axis=1)
        return nearest, cosines[np.arange(len(vectors)), nearest]

    def add(self, name: Name, centroid: Matrix, count: int) -> int:
        """Add a prototype; returns its row."""
        row = len(self)
        if row == len(self._centroids):
            space = np.zeros((max(64, row // 4), self._centroids.shape[1]), np.float32)
            self._centroids = np.concatenate([self._centroids, space])
        self._centroids[row] = centroid
        self.names.append(name)
        self.counts.append(count)
        self.rows[name] = row
        self.changed.add(row)
        return row

    def remove(self, row: int) -> None:
        """Mark a prototype as removed."""
        del self.rows[self.names[row]]
        self.summaries.pop(row, None)
        self.changed.discard(row)
        self._removed.append(row)

    def summary(self, row: int) -> Summary:
        """The summary of a row; its mean is the centroid before any vector joined."""
        if row not in self.summaries:
            self.summaries[row] = Summary(self._centroids[row].copy())
        return self.summaries[row]

    def join(
        self, row: int, vector: Matrix, min_step: float, reservoir: int, rng: np.random.Generator
    ) -> None:
        """Add a vector to a prototype: its mean moves by 1 / count, but at least by `min_step`."""
        summary = self.summary(row)
        self.counts[row] += 1
        step = max(1 / self.counts[row], min_step)
        self.move(row, summary.mean + np.float32(step) * (vector - summary.mean))
        summary.seen += 1
        if len(summary.members) < reservoir:
            summary.members.append(vector.copy())
        elif (slot := int(rng.integers(summary.seen))) < reservoir:
            summary.members[slot] = vector.copy()

    def move(self, row: int, mean: Matrix) -> None:
        """Set a mean; where it is too short for a direction, the centroid stays."""
        self.summary(row).mean = mean
        length = float(np.linalg.norm(mean))
        if length >= MIN_MEAN_NORM:
            self._centroids[row] = mean / length
        self.changed.add(row)

    def absorb(self, row: int, other: int, reservoir: int, rng: np.random.Generator) -> None:
        """Merge `other` into a row: means weighted by count, members by how many they stand for."""
        ours, theirs = self.summary(row), self.summary(other)
        total = self.counts[row] + self.counts[other]
        share = np.float32(self.counts[other] / max(total, 1))
        mean = ours.mean + share * (theirs.mean - ours.mean)
        members = ours.members + theirs.members
        if len(members) > reservoir:
            weights = [one.seen / len(one.members) for one in (ours, theirs) for _ in one.members]
            chosen = rng.choice(
                len(members), reservoir, replace=False, p=np.array(weights) / sum(weights)
            )
            members = [members[at] for at in sorted(chosen)]
        ours.members, ours.seen = members, ours.seen + theirs.seen
        self.counts[row] = total
        self.remove(other)
        self.move(row, mean)
