"""Rows of IDs with several views each, drawn anew at every step and yet repeatable."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.errors import TrainingError

Rows = NDArray[np.int64]


class IdSampler:
    """Draws batches in which each ID has ``views`` rows of the training set.

    In the order of a shuffle of all IDs, a new one per pass, every ID comes once per pass. The
    batch of a step depends on the seed and the step only.

    Args:
        ids: the ID of each row, (n,), numbered from 0 without gaps.
        ids_per_batch: at most as many as there are.
        views: rows per ID; different ones as far as the ID has them, then the same again.
        seed: of order and choice.

    Raises:
        TrainingError: gaps between the IDs, or fewer of them than a batch has.
    """

    def __init__(self, ids: Rows, *, ids_per_batch: int, views: int = 2, seed: int = 0) -> None:
        counts = np.bincount(ids)
        if not counts.all():
            raise TrainingError("number the IDs from 0 without gaps: some have no row")
        if not 1 <= ids_per_batch <= len(counts) or views < 1:
            raise TrainingError(
                f"{ids_per_batch} IDs per batch with {views} views: there are {len(counts)} IDs"
            )
        self._order = np.argsort(ids, kind="stable")
        self._starts = np.concatenate([[0], np.cumsum(counts)])
        self._each, self._views, self._seed = ids_per_batch, views, seed

    @property
    def steps_per_pass(self) -> int:
        """Steps in which every ID comes once; the rest of a pass too small for a batch is left."""
        return (len(self._starts) - 1) // self._each

    def draw(self, step: int) -> Rows:
        """The rows of one step, (``ids_per_batch`` × ``views``,), those of an ID side by side."""
        turn, place = divmod(step, self.steps_per_pass)
        order = np.random.default_rng((self._seed, 0, 0, turn))
        shuffled = order.permutation(len(self._starts) - 1)
        chosen = shuffled[place * self._each : (place + 1) * self._each]
        generator = np.random.default_rng((self._seed, 0, 1, step, 0))
        return np.concatenate([self._rows_of(one, generator) for one in chosen])

    def _rows_of(self, one: int, generator: np.random.Generator) -> Rows:
        own = self._order[self._starts[one] : self._starts[one + 1]]
        rounds = -(-self._views // len(own))
        drawn = np.concatenate([generator.permutation(own) for _ in range(rounds)])
        return drawn[: self._views]
