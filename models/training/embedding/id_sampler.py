"""Batches of IDs with several views each, drawn anew at every step and yet repeatable."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.errors import TrainingError
from models.training.embedding.run_state import Batch, StageName

Rows = NDArray[np.int64]
Fetch = Callable[[Rows, np.random.Generator], Any]
"""Inputs of these rows of the training set; what is random about a view comes from the generator.
Contrast asks for a row several times in a batch where its ID has no other: two views of it."""


class IdBatches:
    """Batches for `stages.train`: each ID of a batch with ``views`` rows of the training set.

    In the order of a shuffle of all IDs, a new one per pass, every ID comes once per pass (unless
    ``neighbours`` mixes them). The batch of a step depends on the seed and the step only.

    Args:
        ids: the ID of each row, (n,), numbered from 0 without gaps.
        fetch: see `Fetch`.
        ids_per_batch: at most as many as there are.
        views: rows per ID; different ones as far as the ID has them.
        seed: of order, choice and views.
        neighbours: the nearest IDs of each, (U, k), as `nearest_prototypes` finds them among
            centroids. Half of each batch are then neighbours of the other half, which makes mined
            hard negatives of them.
        share: (rank, world) with several processes: each takes its part of a common batch of
            ``ids_per_batch`` × world IDs.
    """

    def __init__(
        self,
        ids: Rows,
        fetch: Fetch,
        *,
        ids_per_batch: int = 64,
        views: int = 2,
        seed: int = 0,
        neighbours: NDArray[np.integer[Any]] | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        counts = np.bincount(ids)
        if not counts.all():
            raise TrainingError("number the IDs from 0 without gaps: some have no row")
        self._order = np.argsort(ids, kind="stable")
        self._starts = np.concatenate([[0], np.cumsum(counts)])
        self._fetch, self._views, self._seed = fetch, views, seed
        self._rank, self._world = share
        self._each = ids_per_batch
        self._neighbours = neighbours
        if not 1 <= ids_per_batch * self._world <= len(counts) or views < 1:
            raise TrainingError(
                f"{ids_per_batch} IDs per batch on {self._world} processes with {views} views: "
                f"there are {len(counts)} IDs"
            )

    @property
    def classes(self) -> int:
        """U, the number of IDs."""
        return len(self._starts) - 1

    @property
    def steps_per_pass(self) -> int:
        """Steps in which every ID comes once; the rest of a pass too small for a batch is left."""
        return self.classes // (self._each * self._world)

    def __call__(self, stage: StageName, start: int) -> Iterator[Batch]:
        """Batches from step ``start`` on, without end; the stages are drawn differently."""
        step = start
        while True:
            yield self.batch(stage, step)
            step += 1

    def batch(self, stage: StageName, step: int) -> tuple[Any, Tensor]:
        """The batch of one step: inputs and IDs of ``ids_per_batch`` × ``views`` rows."""
        source = (self._seed, 0 if stage == "contrast" else 1)
        turn, place = divmod(step, self.steps_per_pass)
        shuffled = np.random.default_rng((*source, 0, turn)).permutation(self.classes)
        first = (place * self._world + self._rank) * self._each
        chosen = shuffled[first : first + self._each]
        generator = np.random.default_rng((*source, 1, step, self._rank))
        if self._neighbours is not None:
            chosen = beside_neighbours(chosen, self._neighbours, generator)
        rows = np.concatenate([self._rows_of(one, generator) for one in chosen])
        return self._fetch(rows, generator), torch.from_numpy(np.repeat(chosen, self._views))

    def _rows_of(self, one: int, generator: np.random.Generator) -> Rows:
        own = self._order[self._starts[one] : self._starts[one + 1]]
        rounds = -(-self._views // len(own))
        drawn = np.concatenate([generator.permutation(own) for _ in range(rounds)])
        return drawn[: self._views]


def beside_neighbours(
    chosen: Rows, neighbours: NDArray[np.integer[Any]], generator: np.random.Generator
) -> Rows:
    """The first half of these IDs, each with one of its neighbours (U, k) where one is left.

    As many as were given, none twice; where neighbours run out, IDs of the second half stay.
    """
    kept = -(-len(chosen) // 2)
    together = dict.fromkeys(chosen[:kept].tolist())
    for one in chosen[: len(chosen) - kept].tolist():
        near = [other for other in neighbours[one].tolist() if other not in together]
        if near:
            together[near[generator.integers(len(near))]] = None
    for other in chosen[kept:].tolist():
        if len(together) < len(chosen):
            together[other] = None
    return np.array(list(together), np.int64)
