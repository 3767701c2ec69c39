"""Courses: one way of training each, all on the same pictures, views and steps.

On maps alone, over frozen features, a course takes some minutes on a CPU, so that a table of them
can be made in one run; with the network's tail it is half an hour or more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.backbone.load import load_backbone
from models.catalog.folder import Catalog
from models.curation.documents import UNKNOWN
from models.embedding.encoder import best_device
from models.embedding.projection import Projection
from models.progress import Phases
from models.training.embedding.dataset import TrainingConfig, TrainingData
from models.training.embedding.fit_appearance import fit_appearance
from models.training.embedding.identity_tower import Tower
from models.training.embedding.recipe import Recipe
from models.training.embedding.samples import TrainingPictures
from models.training.embedding.train import MAPS, RECIPE, begin_tower, teach

Rows = NDArray[np.int64]
CONTRAST_MAPS = replace(RECIPE, learning_rate=1e-3, temperature=0.1)
"""What contrast does best by, on photos of the studio's split "val", of rates from 3e-4 to 3e-3 and
temperatures from .02 to .2."""
CONTRAST_SHARE = 0.25
"""Of a tail's passes, before identification. Maps alone lose by it: they begin well enough."""


@dataclass(frozen=True)
class Course:
    """A way of training.

    Attributes:
        name: in the table.
        contrast: all by contrast, no identification.
        sparse: whether only near prototypes are negatives.
        maps: the recipe of maps alone; of a tail it is `RECIPE`.
    """

    name: str
    contrast: bool = False
    sparse: bool = False
    maps: Recipe = MAPS

    def recipe(self, identity_branch: bool) -> Recipe:
        """Of a tail and the maps behind it, or of the maps alone."""
        recipe = RECIPE if identity_branch else self.maps
        return recipe.sparse() if self.sparse else recipe

    def contrast_share(self, identity_branch: bool) -> float:
        """Of the passes, 0..1; the rest is identification."""
        if self.contrast:
            return 1.0
        return CONTRAST_SHARE if identity_branch else 0.0


CONTRAST = Course("contrastive", contrast=True, maps=CONTRAST_MAPS)
IDENTITY = Course("ID recognition")
SPARSE = Course("ID recognition, sparse negatives", sparse=True)


def taught(
    course: Course,
    data: TrainingData,
    passes: float,
    checkpoint: Path,
    progress: Phases,
    *,
    identity_branch: bool = False,
) -> Tower:
    """A tower trained on the material for ``passes`` over its pictures.

    No validation: every course ends with its last weights after the same number of steps.
    """
    tower = begin_tower(data, identity_branch=identity_branch)[0].to(best_device())
    contrast = passes * course.contrast_share(identity_branch)
    config = TrainingConfig(folders=(), contrast_passes=contrast, passes=passes - contrast)
    alone = replace(data, tasks=(), answers=None)
    teach(tower, alone, config, course.recipe(identity_branch), checkpoint, progress=progress)
    return tower.eval()


def appearance_of(data: TrainingData) -> Projection:
    """The axes of a material with a look that is fitted on its own pictures alone, and on what the
    network was first trained to tell apart."""
    pictures, store = data.pictures, data.store
    rows = store.projection.raw(store.features(store.clean()))
    shown = {one: place for place, one in enumerate(pictures.ids) if pictures.own[place]}
    sources, changes = [], []
    for catalog in np.unique(pictures.catalogs):
        places = np.flatnonzero(pictures.catalogs == catalog)
        photos = [one for one in places if not pictures.own[one] and pictures.ids[one] in shown]
        sources.append(rows[places])
        if photos:
            changes.append(rows[photos] - rows[[shown[one] for one in pictures.ids[photos]]])
    classifier = load_backbone(data.spec).layout.classifier
    classes = None if classifier is None else classifier[0]
    return replace(store.projection, appearance=fit_appearance(sources, changes, classes))


def without_tasks_of(data: TrainingData, catalog: Catalog) -> TrainingData:
    """The material less what photos of one catalog say about how far training is to be trusted."""
    left = [
        task
        for task in data.tasks
        if catalog.by_id.get(task.products[0].product_id) is not task.products[0]
    ]
    return replace(data, tasks=tuple(left), answers=data.answers if left else None)


def part(data: TrainingData, sources: Rows) -> TrainingData:
    """The material of some pictures, by their numbers."""
    pictures, store = data.pictures.only(sources), data.store.only(sources)
    return replace(data, pictures=pictures, store=store)


def relabelled(data: TrainingData, labels: Rows) -> TrainingData:
    """The material under other labels (sources,); what is UNKNOWN is left out.

    Labels beyond the identities that there were are concepts of their own.
    """
    pictures = data.pictures
    beyond = np.arange(max(0, int(labels.max()) + 1 - pictures.identities))
    concepts = np.concatenate([pictures.concepts, pictures.concepts.max() + 1 + beyond])
    renamed = replace(pictures, ids=labels, concepts=concepts)
    return part(replace(data, pictures=renamed), np.flatnonzero(labels != UNKNOWN))


def first_identities(pictures: TrainingPictures, count: int, seed: int = 0) -> Rows:
    """Numbers of the pictures of ``count`` identities drawn at random; fewer are among more."""
    order = np.random.default_rng(seed).permutation(pictures.identities)
    return np.flatnonzero(np.isin(pictures.ids, order[:count]))
