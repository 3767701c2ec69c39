"""Keeping a bank up to date while items stream in: appear, move, merge, split.

A vector joins the prototype that its label names, else one that is near enough, else it becomes a
prototype of its own. A prototype follows its members by an exponential moving average. When a bank
is published, prototypes that have become one are merged and those that fell apart are split; old
names then lead to what became of them (`index.prototypes.aliases`).

All is deterministic: the same bank, rules, seed and calls give the same banks. Cutting the stream
into other calls may not, since a call's vectors are compared with where prototypes stood when a
block of them began. In memory beside the bank: a second copy of its centroids, and up to
`UpdateRules.reservoir` vectors for each prototype that has been met (64 KB at 512-d).
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
    """When prototypes appear, move, merge and split. All cosines are the encoder's own.

    Attributes:
        near: cosine from which a vector without a known label joins the nearest prototype.
        rate: smallest step of the moving average; a prototype of n < 1 / rate members moves by 1/n.
        merge_at: cosine from which two prototypes, each the other's nearest, become one.
        split_below: parts more alike than this stay together; below `merge_at`, or they would be
            merged again.
        gap: see `index.prototypes.split_test`; of unimodal clouds fewer than 1 % have 4.
        reservoir: members kept per prototype.
        fewest: members kept before a split is considered.
    """

    near: float = 0.6
    rate: float = 0.02
    merge_at: float = 0.97
    split_below: float = 0.9
    gap: float = 4.0
    reservoir: int = 32
    fewest: int = 24

    def __post_init__(self) -> None:
        if not -1 <= self.split_below < self.merge_at <= 1:
            raise BankError("split_below must be less than merge_at: parts would merge again")
        if not 0 < self.rate <= 1 or not 2 <= self.fewest <= self.reservoir:
            raise BankError("rate must be in (0, 1], and fewest in 2..reservoir")


class OnlineUpdate:
    """A bank that changes; what `publish` gives out does not.

    Args:
        bank: to start from. Without counts, each prototype gets an equal share of `built_from`.
        aliases: those that were published with it.
        rules: when to merge, split and the like.
        seed: of the reservoirs.

    Raises:
        BankError: the aliases lead to prototypes that the bank has not.
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
        self._named: dict[str, int] = {}
        self._live = MutableBank(bank, {})
        for name in self._aliases:
            if strays := [one for one in self._aliases.resolve(name) if one not in bank.rows]:
                raise BankError(
                    f"{name!r} leads to {strays[0]!r}, which bank {bank.version} has not: "
                    "use the aliases that were published with it"
                )

    def __len__(self) -> int:
        """How many prototypes are alive."""
        return len(self._live.rows)

    def observe(self, vectors: Matrix, labels: Sequence[Name | None] | None = None) -> list[Name]:
        """Let items join the prototypes they belong to.

        Args:
            vectors: float32 (n, d), ℓ2-normalised.
            labels: what is known to be the prototype of each, or None. A label never seen before
                names a new prototype, or leads from now on to the one that is near enough.

        Returns:
            The name that each vector went to.

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
        block = min(BLOCK, self._live.block())
        for start in range(0, len(vectors), block):
            some = vectors[start : start + block]
            nearest, cosines = self._live.nearest(some)
            known = len(self._live)
            for at, vector in enumerate(some):
                row, cosine = int(nearest[at]), float(cosines[at])
                if len(self._live) > known:  # prototypes born in this block
                    near = self._live.centroids[known:] @ vector
                    if near.max() > cosine:
                        row, cosine = known + int(near.argmax()), float(near.max())
                label = None if labels is None else labels[start + at]
                row = self._place(vector, label, row, cosine)
                self._live.join(row, vector, self.rules.rate, self.rules.reservoir, self._rng)
                joined.append(self._live.names[row])
        self._observed += len(vectors)
        return joined

    def publish(self) -> tuple[PrototypeBank, Aliases]:
        """Merge and split what is due, and give out the bank as it is now with its aliases.

        Only prototypes that vectors have joined since the last time are looked at: neighbours that
        curation set apart stay apart until they move. The same bank if nothing has joined.
        """
        live = self._live
        if not live.touched:
            return self.bank, self._aliases.copy()
        while pairs := self._pairs_to_merge():
            for survivor, other in pairs:
                self._aliases.retire(live.names[other], live.names[survivor])
                live.absorb(survivor, other, self.rules.reservoir, self._rng)
        for row in sorted(live.touched):
            self._split(row)
        rows = sorted(live.rows.values())
        self.bank = named_bank(
            [live.names[row] for row in rows],
            live.centroids[rows],
            np.array([live.counts[row] for row in rows], np.int64),
            self.bank.model_id,
            built_from=self.bank.built_from + self._observed,
            origin=Origin("upkeep", self.bank.version, {"observed": self._observed}),
        )
        remembered = {live.names[row]: summary for row, summary in live.summaries.items()}
        self._live, self._observed = MutableBank(self.bank, remembered), 0
        return self.bank, self._aliases.copy()

    def _place(self, vector: Matrix, label: Name | None, row: int, cosine: float) -> int:
        """The row that a vector belongs to, made if need be; `row` is the nearest so far."""
        live = self._live
        if label is not None and (
            named := [live.rows[name] for name in self._aliases.resolve(label) if name in live.rows]
        ):
            return named[int((live.centroids[named] @ vector).argmax())]
        if cosine >= self.rules.near:
            if label is not None:
                self._aliases.retire(label, live.names[row])
            return row
        return live.add(self._fresh("new-") if label is None else label, vector, 0)

    def _fresh(self, prefix: str) -> Name:
        """A name that was never used; parts of 7 are 7/1 and 7/2."""
        while True:
            self._named[prefix] = self._named.get(prefix, 0) + 1
            name = f"{prefix}{self._named[prefix]}"
            if name not in self._live.rows and name not in self._aliases:
                return name

    def _pairs_to_merge(self) -> list[tuple[int, int]]:
        """Pairs of rows to merge, the survivor first: alike enough, and each nearest to the other.

        One of the two was touched. No row is in two pairs, so their order makes no difference.
        """
        live = self._live
        if len(live.rows) < 2:
            return []
        nearest: dict[int, tuple[int, float]] = {}

        def look(rows: list[int]) -> None:
            for start in range(0, len(rows), live.block()):
                some = rows[start : start + live.block()]
                found, cosines = live.nearest(live.centroids[some], some)
                pairs = zip(found.tolist(), cosines.tolist(), strict=True)
                nearest.update(zip(some, pairs, strict=True))

        def alike() -> list[tuple[int, int]]:
            return [
                (row, other)
                for row, (other, cosine) in nearest.items()
                if cosine >= self.rules.merge_at
            ]

        look(sorted(live.touched))
        look(sorted({other for _, other in alike()} - nearest.keys()))
        mutual = [(row, other) for row, other in alike() if nearest[other][0] == row]
        return sorted(pair for pair in mutual if self._rank(pair[0]) < self._rank(pair[1]))

    def _rank(self, row: int) -> tuple[int, tuple[bool, Name]]:
        """Who survives a merge: the one with more members, else the lower name."""
        return -self._live.counts[row], name_key(self._live.names[row])

    def _split(self, row: int) -> None:
        """Replace a prototype by two if its members fall into two well separated groups."""
        live = self._live
        summary = live.summary(row)
        if len(summary.members) < self.rules.fewest:
            return
        members = np.stack(summary.members)
        second = split_test(members, self.rules.gap)
        if second is None:
            return
        groups = [members[~second], members[second]]
        means = [group.mean(axis=0) for group in groups]
        lengths = [float(np.linalg.norm(mean)) for mean in means]
        if means[0] @ means[1] > self.rules.split_below * lengths[0] * lengths[1]:
            return
        name, count = live.names[row], live.counts[row]
        counts = [round(count * len(groups[0]) / len(members))]
        counts.append(count - counts[0])
        by_nearness = sorted((0, 1), key=lambda at: -float(live.centroids[row] @ means[at]))
        parts = []
        for at in by_nearness:
            new = live.add(self._fresh(f"{name}/"), means[at] / lengths[at], counts[at])
            live.summaries[new] = Summary(means[at], list(groups[at]), len(groups[at]))
            parts.append(live.names[new])
        live.remove(row)
        self._aliases.retire(name, *parts)
