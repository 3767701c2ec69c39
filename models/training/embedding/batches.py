"""Batches of views: pairs of one identity for contrast, single draws for identification."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count

import numpy as np
import torch
from numpy.typing import NDArray

from models.errors import TrainingError
from models.training.embedding.feature_cache import FeatureCache
from models.training.embedding.id_sampler import IdSampler
from models.training.embedding.ranks import Ranks
from models.training.embedding.run_state import Batch, StageName
from models.training.embedding.samples import TrainingPictures

Rows = NDArray[np.int64]
CENTROID_VIEWS = 4
"""Views of each picture that the initial prototypes are centroids of."""


class ViewBatches:
    """Batches for `stages.train` from cached views.

    Contrast draws identities, two views each; identification draws every picture as often per pass
    as `TrainingPictures.draws` says, each time in another of its views. Of a batch of ``size`` each
    of several ``ranks`` has an equal share, so that together they learn what one process would.

    Raises:
        TrainingError: more ranks than a batch has views.
    """

    def __init__(
        self,
        cache: FeatureCache,
        pictures: TrainingPictures,
        size: int,
        seed: int = 0,
        ranks: Ranks | None = None,
    ) -> None:
        self._cache, self._pictures, self._size, self._seed = cache, pictures, size, seed
        self._ranks = ranks or Ranks(0, 1)
        views = np.diff(cache.starts)
        self._row_ids: Rows = np.repeat(pictures.ids, views)
        self._draws: Rows = np.repeat(np.arange(len(pictures.sources)), pictures.draws)
        pairs = min(size // 2, pictures.identities)
        self._pairs = IdSampler(self._row_ids, ids_per_batch=pairs, seed=seed)
        if self._ranks.world > min(2 * pairs, size, len(self._draws)):
            raise TrainingError(
                f"{self._ranks.world} ranks for batches of {min(2 * pairs, len(self._draws))} "
                "views: start fewer"
            )

    @property
    def steps_per_pass(self) -> int:
        """Steps in which every picture is drawn as often as it should be."""
        return max(1, len(self._draws) // self._size)

    def __call__(self, stage: StageName, start: int) -> Iterator[Batch]:
        """This rank's share of the batches from step ``start`` on, without end."""
        for step in count(start):
            rows = self._pairs.draw(step) if stage == "contrast" else self._draw(step)
            yield self._batch(rows[self._ranks.equal_share(len(rows))])

    @property
    def steps_of_training_pass(self) -> int:
        """Batches of the `training_pass`."""
        return -(-len(self._training_pass_rows()) // self._size)

    def training_pass(self) -> Iterable[Batch]:
        """Some views of every picture, in order."""
        rows = self._training_pass_rows()
        for at in range(0, len(rows), self._size):
            yield self._batch(rows[at : at + self._size])

    def _training_pass_rows(self) -> Rows:
        starts, views = self._cache.starts[:-1], np.diff(self._cache.starts)
        return np.concatenate(
            [
                np.arange(start, start + min(count, CENTROID_VIEWS))
                for start, count in zip(starts, views, strict=True)
            ]
        )

    def _draw(self, step: int) -> Rows:
        """The rows of one step: random views of pictures, which are shuffled anew in each pass."""
        number, place = divmod(step, self.steps_per_pass)
        shuffled = np.random.default_rng((self._seed, 0, number)).permutation(self._draws)
        sources = shuffled[place * self._size : (place + 1) * self._size]
        starts = self._cache.starts
        generator = np.random.default_rng((self._seed, 1, step))
        rows: Rows = generator.integers(starts[sources], starts[sources + 1])
        return rows

    def _batch(self, rows: Rows) -> Batch:
        return self._cache.fetch(rows), torch.from_numpy(self._row_ids[rows])
