"""Prototypes on the move: the arrays of a bank that can grow, and what is remembered of members."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from index.prototypes.bank import Name, PrototypeBank
from index.prototypes.from_clusters import MIN_MEAN_NORM
from index.vectors import Matrix, Rows

MAX_COSINES = 2**26
"""Cosines computed at once: 256 MB."""


@dataclass
class Summary:
    """What is remembered of a prototype that vectors have joined.

    Attributes:
        mean: moving average of its members (d,), not normalised.
        members: a uniform sample of those that joined, each (d,).
        met: how many they were drawn from.
    """

    mean: Matrix
    members: list[Matrix] = field(default_factory=list)
    met: int = 0


class MutableBank:
    """A bank's prototypes by row. A row stays the same until the next bank is taken.

    Attributes:
        names: of all rows, those removed too.
        rows: of the live names.
        counts: vectors behind each row.
        touched: live rows that changed since the bank was taken.
        summaries: of the rows that vectors have joined.
    """

    def __init__(self, bank: PrototypeBank, summaries: dict[Name, Summary]) -> None:
        self.names = list(bank.names)
        self.rows = dict(bank.rows)
        share = max(1, bank.built_from // len(bank))
        self.counts = [share] * len(bank) if bank.counts is None else bank.counts.tolist()
        self.summaries = {self.rows[name]: summary for name, summary in summaries.items()}
        self.touched: set[int] = set()
        self._centroids = bank.centroids.copy()
        self._removed: list[int] = []

    def __len__(self) -> int:
        """How many rows there are, removed ones counted."""
        return len(self.names)

    @property
    def centroids(self) -> Matrix:
        """Unit vectors of all rows (len, d)."""
        return self._centroids[: len(self)]

    def block(self) -> int:
        """How many vectors to compare with all rows at once."""
        return max(1, MAX_COSINES // len(self))

    def nearest(self, vectors: Matrix, but: Sequence[int] = ()) -> tuple[Rows, Matrix]:
        """Live row and cosine nearest to each of (n, d) vectors; `but`: one row each to ignore."""
        cosines = vectors @ self.centroids.T
        cosines[:, self._removed] = -np.inf
        if len(but):
            cosines[np.arange(len(but)), but] = -np.inf
        nearest = cosines.argmax(axis=1)
        return nearest, cosines[np.arange(len(vectors)), nearest]

    def add(self, name: Name, centroid: Matrix, count: int) -> int:
        """A new prototype at the next row."""
        row = len(self)
        if row == len(self._centroids):
            room = np.zeros((max(64, row // 4), self._centroids.shape[1]), np.float32)
            self._centroids = np.concatenate([self._centroids, room])
        self._centroids[row] = centroid
        self.names.append(name)
        self.counts.append(count)
        self.rows[name] = row
        self.touched.add(row)
        return row

    def remove(self, row: int) -> None:
        """Take a prototype out of the living."""
        del self.rows[self.names[row]]
        self.summaries.pop(row, None)
        self.touched.discard(row)
        self._removed.append(row)

    def summary(self, row: int) -> Summary:
        """What is remembered of a row, which is its centroid before anything joined."""
        if row not in self.summaries:
            self.summaries[row] = Summary(self._centroids[row].copy())
        return self.summaries[row]

    def join(
        self, row: int, vector: Matrix, rate: float, reservoir: int, rng: np.random.Generator
    ) -> None:
        """Let a vector join: the mean moves by 1 / count, or by `rate` if that is more."""
        summary = self.summary(row)
        self.counts[row] += 1
        step = max(1 / self.counts[row], rate)
        self.move(row, summary.mean + np.float32(step) * (vector - summary.mean))
        summary.met += 1
        if len(summary.members) < reservoir:
            summary.members.append(vector.copy())
        elif (place := int(rng.integers(summary.met))) < reservoir:
            summary.members[place] = vector.copy()

    def move(self, row: int, mean: Matrix) -> None:
        """Set a mean; where it points nowhere, the centroid stays where it was."""
        self.summary(row).mean = mean
        length = float(np.linalg.norm(mean))
        if length >= MIN_MEAN_NORM:
            self._centroids[row] = mean / length
        self.touched.add(row)

    def absorb(self, row: int, other: int, reservoir: int, rng: np.random.Generator) -> None:
        """Let one prototype take in another: means by count, members by how many they stand for."""
        ours, theirs = self.summary(row), self.summary(other)
        total = self.counts[row] + self.counts[other]
        share = np.float32(self.counts[other] / max(total, 1))
        mean = ours.mean + share * (theirs.mean - ours.mean)
        members = ours.members + theirs.members
        if len(members) > reservoir:
            alias_of = [one.met / len(one.members) for one in (ours, theirs) for _ in one.members]
            chosen = rng.choice(
                len(members), reservoir, replace=False, p=np.array(alias_of) / sum(alias_of)
            )
            members = [members[at] for at in sorted(chosen)]
        ours.members, ours.met = members, ours.met + theirs.met
        self.counts[row] = total
        self.remove(other)
        self.move(row, mean)
