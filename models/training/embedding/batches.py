"""Batches of views: pairs of one identity for contrast, single draws for identification."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.training.embedding.feature_cache import ViewStore
from models.training.embedding.id_sampler import IdBatches
from models.training.embedding.identity_tower import Views
from models.training.embedding.run_state import Batch, StageName
from models.training.embedding.samples import TrainingPictures

Rows = NDArray[np.int64]
CENTROID_VIEWS = 4
"""Views of each picture that the first prototypes are made of."""


class ViewBatches:
    """Batches for `stages.train` from a store of views.

    Contrast draws identities, two views each; identification draws every picture as often per pass
    as `TrainingPictures.draws` says, each time in another of its views.
    """

    def __init__(
        self, store: ViewStore, pictures: TrainingPictures, size: int, seed: int = 0
    ) -> None:
        self._store, self._pictures, self._size, self._seed = store, pictures, size, seed
        views = np.diff(store.starts)
        self._row_ids: Rows = np.repeat(pictures.ids, views)
        self._draws: Rows = np.repeat(np.arange(len(pictures.sources)), pictures.draws)
        self._pairs = IdBatches(
            self._row_ids,
            lambda rows, _: store.fetch(rows),
            ids_per_batch=min(size // 2, pictures.identities),
            seed=seed,
        )

    @property
    def steps_per_pass(self) -> int:
        """Steps in which every picture is drawn as often as it should be."""
        return max(1, len(self._draws) // self._size)

    def __call__(self, stage: StageName, start: int) -> Iterator[Batch]:
        """Batches from step ``start`` on, without end."""
        if stage == "contrast":
            yield from self._pairs(stage, start)
        step = start
        while True:
            yield self._drawn(step)
            step += 1

    @property
    def library_steps(self) -> int:
        """Batches of the `library`."""
        return -(-len(self._library_rows()) // self._size)

    def library(self) -> Iterable[Batch]:
        """Some views of every picture, in order."""
        rows = self._library_rows()
        for at in range(0, len(rows), self._size):
            some = rows[at : at + self._size]
            yield self._store.fetch(some), torch.from_numpy(self._row_ids[some])

    def _library_rows(self) -> Rows:
        starts, views = self._store.starts[:-1], np.diff(self._store.starts)
        return np.concatenate(
            [
                np.arange(start, start + min(count, CENTROID_VIEWS))
                for start, count in zip(starts, views, strict=True)
            ]
        )

    def _drawn(self, step: int) -> tuple[Views, Tensor]:
        turn, place = divmod(step, self.steps_per_pass)
        shuffled = np.random.default_rng((self._seed, 0, turn)).permutation(self._draws)
        sources = shuffled[place * self._size : (place + 1) * self._size]
        starts = self._store.starts
        generator = np.random.default_rng((self._seed, 1, step))
        rows = generator.integers(starts[sources], starts[sources + 1])
        return self._store.fetch(rows), torch.from_numpy(self._pictures.ids[sources])
