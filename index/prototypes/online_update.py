"""Online update of a bank: prototypes are added, moved, merged and split (Pailitao-VL §4.3).

A vector joins the prototype that its label names, or the nearest one if that is near enough, or
becomes a new prototype. A prototype moves with its members by an exponential moving average. When
the bank is published, prototypes that have become alike are merged, those whose members fall into
two groups are split, and aliases from old to new names are kept (`index.prototypes.aliases`).

Deterministic: the same bank, rules, seed and calls give the same banks. The same vectors in other
calls may not, since each block of a call is compared with the centroids from before it. Memory in
addition to the bank: a second copy of its centroids, and up to `UpdateRules.reservoir` vectors for
each prototype that got any (64 KB at 512-d).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from index.errors import BankError
from index.prototypes.aliases import Aliases
from index.prototypes.bank import BLOCK, Name, Origin, PrototypeBank, check_names
from index.prototypes.from_clusters import name_key, named_bank
from index.prototypes.mutable_bank import MutableBank, Summary
from index.prototypes.split_test import split_test
from index.vectors import Matrix, check_unit_rows


@dataclass(frozen=True)
class UpdateRules:
    """Thresholds of the update. All cosines are those of the encoder's vectors.

    Attributes:
        join_cosine: from which a vector without a known label joins the nearest prototype.
        min_step: smallest step of the moving average; up to 1 / min_step members it is 1 / members.
        merge_cosine: from which two prototypes, each the other's nearest, are merged.
        split_cosine: parts with a higher one stay together; below `merge_cosine`, or they would be
            merged again.
        min_separation: of the two parts, see `index.prototypes.split_test`; fewer than 1 % of
            unimodal distributions reach 4.
        reservoir: members kept per prototype.
        min_members: kept members from which a split is considered.
    """

    join_cosine: float = 0.6
    min_step: float = 0.02
    merge_cosine: float = 0.97
    split_cosine: float = 0.9
    min_separation: float = 4.0
    reservoir: int = 32
    min_members: int = 24

    def __post_init__(self) -> None:
        if not -1 <= self.split_cosine < self.merge_cosine <= 1:
            raise BankError("split_cosine must be less than merge_cosine: parts would merge again")
        if not 0 < self.min_step <= 1 or not 2 <= self.min_members <= self.reservoir:
            raise BankError("min_step must be in (0, 1], and min_members in 2..reservoir")


class OnlineUpdate:
    """A bank that is updated; `publish` returns an immutable copy.

    Args:
        bank: to start from. Without counts, each prototype gets an equal share of `built_from`.
        aliases: those that were published with it.
        rules: the thresholds.
        seed: of the reservoir sampling.

    Raises:
        BankError: the aliases lead to prototypes that are not in the bank.
    """

    def __init__(
        self,
        bank: PrototypeBank,
        aliases: Aliases | None = None,
        rules: UpdateRules | None = None,
        seed: int = 0,
    ) -> None:
        self.bank = bank
        self.rules = rules or UpdateRules()
        self._aliases = Aliases() if aliases is None else aliases.copy()
        self._rng = np.random.default_rng(seed)
        self._observed = 0
        self._name_counts: dict[str, int] = {}
        self._mutable = MutableBank(bank, {})
        for name in self._aliases:
            if unknown := [one for one in self._aliases.resolve(name) if one not in bank.rows]:
                raise BankError(
                    f"{name!r} leads to {unknown[0]!r}, which is not in bank {bank.version}: "
                    "use the aliases that were published with it"
                )

    def __len__(self) -> int:
        """Number of prototypes."""
        return len(self._mutable.rows)

    def observe(self, vectors: Matrix, labels: Sequence[Name | None] | None = None) -> list[Name]:
        """Assign vectors to prototypes, and update these.

        Args:
            vectors: float32 (n, d), ℓ2-normalised.
            labels: the name of each vector's prototype, or None if unknown. A new label names a new
                prototype, or becomes an alias of one that is near enough.

        Returns:
            The name of the prototype of each vector.

        Raises:
            BankError: vectors that do not fit the bank or are not of unit length, or a label that
                is no name.
        """
        if not len(vectors):
            return []
        vectors = np.asarray(vectors, np.float32)
        check_unit_rows(vectors, "vectors")
        given = len(vectors) if labels is None else len(labels)
        if vectors.shape[1] != self.bank.dim or given != len(vectors):
            raise BankError(
                f"vectors of shape {vectors.shape} with {given} labels: "
                f"the bank wants (n, {self.bank.dim}), and a label or None for each"
            )
        new = {label for label in labels or () if label is not None}
        check_names(list(new), len(new))
        joined: list[Name] = []
        block = min(BLOCK, self._mutable.block())
        for start in range(0, len(vectors), block):
            some = vectors[start : start + block]
            nearest, cosines = self._mutable.nearest(some)
            known = len(self._mutable)
            for at, vector in enumerate(some):
                row, cosine = int(nearest[at]), float(cosines[at])
                if len(self._mutable) > known:  # prototypes that were added in this block
                    added = self._mutable.centroids[known:] @ vector
                    if added.max() > cosine:
                        row, cosine = known + int(added.argmax()), float(added.max())
                label = None if labels is None else labels[start + at]
                row = self._row_for(vector, label, row, cosine)
                self._mutable.join(
                    row, vector, self.rules.min_step, self.rules.reservoir, self._rng
                )
                joined.append(self._mutable.names[row])
        self._observed += len(vectors)
        return joined

    def publish(self) -> tuple[PrototypeBank, Aliases]:
        """Merge and split prototypes, and return the bank with its aliases.

        Only prototypes that got vectors since the last call are considered, so that neighbours that
        curation kept apart stay apart until they move. Without new vectors, the same bank.
        """
        bank = self._mutable
        if not bank.changed:
            return self.bank, self._aliases.copy()
        while pairs := self._pairs_to_merge():
            for survivor, other in pairs:
                self._aliases.retire(bank.names[other], bank.names[survivor])
                bank.absorb(survivor, other, self.rules.reservoir, self._rng)
        for row in sorted(bank.changed):
            self._split(row)
        rows = sorted(bank.rows.values())
        self.bank = named_bank(
            [bank.names[row] for row in rows],
            bank.centroids[rows],
            np.array([bank.counts[row] for row in rows], np.int64),
            self.bank.model_id,
            built_from=self.bank.built_from + self._observed,
            origin=Origin("online update", self.bank.version, {"observed": self._observed}),
        )
        summaries = {bank.names[row]: summary for row, summary in bank.summaries.items()}
        self._mutable, self._observed = MutableBank(self.bank, summaries), 0
        return self.bank, self._aliases.copy()

    def _row_for(self, vector: Matrix, label: Name | None, row: int, cosine: float) -> int:
        """The row of a vector's prototype, added if needed; `row` is the nearest, at `cosine`."""
        bank = self._mutable
        if label is not None and (
            named := [bank.rows[name] for name in self._aliases.resolve(label) if name in bank.rows]
        ):
            return named[int((bank.centroids[named] @ vector).argmax())]
        if cosine >= self.rules.join_cosine:
            if label is not None:
                self._aliases.retire(label, bank.names[row])
            return row
        return bank.add(self._new_name("new-") if label is None else label, vector, 0)

    def _new_name(self, prefix: str) -> Name:
        """A name that was never used; the parts of 7 are 7/1 and 7/2."""
        while True:
            self._name_counts[prefix] = self._name_counts.get(prefix, 0) + 1
            name = f"{prefix}{self._name_counts[prefix]}"
            if name not in self._mutable.rows and name not in self._aliases:
                return name

    def _pairs_to_merge(self) -> list[tuple[int, int]]:
        """Pairs of rows to merge, the survivor first: each the other's nearest, and near enough.

        One of the two has changed. No row is in two pairs, so their order makes no difference.
        """
        bank = self._mutable
        if len(bank.rows) < 2:
            return []
        nearest: dict[int, tuple[int, float]] = {}

        def find_nearest(rows: list[int]) -> None:
            for start in range(0, len(rows), bank.block()):
                some = rows[start : start + bank.block()]
                found, cosines = bank.nearest(bank.centroids[some], some)
                pairs = zip(found.tolist(), cosines.tolist(), strict=True)
                nearest.update(zip(some, pairs, strict=True))

        def close_pairs() -> list[tuple[int, int]]:
            return [
                (row, other)
                for row, (other, cosine) in nearest.items()
                if cosine >= self.rules.merge_cosine
            ]

        find_nearest(sorted(bank.changed))
        find_nearest(sorted({other for _, other in close_pairs()} - nearest.keys()))
        mutual = [(row, other) for row, other in close_pairs() if nearest[other][0] == row]
        return sorted(pair for pair in mutual if self._rank(pair[0]) < self._rank(pair[1]))

    def _rank(self, row: int) -> tuple[int, tuple[bool, Name]]:
        """Which row survives a merge: the one with more members, or with the lower name."""
        return -self._mutable.counts[row], name_key(self._mutable.names[row])

    def _split(self, row: int) -> None:
        """Replace a prototype by two if its members fall into two separate groups."""
        bank = self._mutable
        summary = bank.summary(row)
        if len(summary.members) < self.rules.min_members:
            return
        members = np.stack(summary.members)
        second = split_test(members, self.rules.min_separation)
        if second is None:
            return
        groups = [members[~second], members[second]]
        means = [group.mean(axis=0) for group in groups]
        lengths = [float(np.linalg.norm(mean)) for mean in means]
        if means[0] @ means[1] > self.rules.split_cosine * lengths[0] * lengths[1]:
            return
        name, count = bank.names[row], bank.counts[row]
        counts = [round(count * len(groups[0]) / len(members))]
        counts.append(count - counts[0])
        by_nearness = sorted((0, 1), key=lambda at: -float(bank.centroids[row] @ means[at]))
        parts = []
        for at in by_nearness:
            new = bank.add(self._new_name(f"{name}/"), means[at] / lengths[at], counts[at])
            bank.summaries[new] = Summary(means[at], list(groups[at]), len(groups[at]))
            parts.append(bank.names[new])
        bank.remove(row)
        self._aliases.retire(name, *parts)
