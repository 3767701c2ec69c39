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
from models.training.embedding.dataset import Lesson, Material, Progress
from models.training.embedding.fit_appearance import fit_look
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

    def recipe(self, tail: bool) -> Recipe:
        """Of a tail and the maps behind it, or of the maps alone."""
        recipe = RECIPE if tail else self.maps
        return recipe.sparse() if self.sparse else recipe

    def contrast_share(self, tail: bool) -> float:
        """Of the passes, 0..1; the rest is identification."""
        if self.contrast:
            return 1.0
        return CONTRAST_SHARE if tail else 0.0


CONTRAST = Course("contrastive", contrast=True, maps=CONTRAST_MAPS)
IDENTITY = Course("ID recognition")
SPARSE = Course("ID recognition, sparse negatives", sparse=True)


def taught(
    course: Course,
    material: Material,
    passes: float,
    checkpoint: Path,
    progress: Progress,
    *,
    tail: bool = False,
) -> Tower:
    """A tower trained on the material for ``passes`` over its pictures.

    No validation: every course ends with its last weights after the same number of steps.
    """
    tower = begin_tower(material, tail=tail)[0].to(best_device())
    contrast = passes * course.contrast_share(tail)
    lesson = Lesson(folders=(), contrast_passes=contrast, passes=passes - contrast)
    alone = replace(material, exams=(), answers=None)
    teach(tower, alone, lesson, course.recipe(tail), checkpoint, progress=progress)
    return tower.eval()


def look_of(material: Material) -> Projection:
    """The axes of a material with a look that is fitted on its own pictures alone, and on what the
    network was first trained to tell apart."""
    pictures, store = material.pictures, material.store
    rows = store.projection.raw(store.features(store.clean()))
    shown = {one: place for place, one in enumerate(pictures.ids) if pictures.own[place]}
    sources, changes = [], []
    for catalog in np.unique(pictures.catalogs):
        places = np.flatnonzero(pictures.catalogs == catalog)
        photos = [one for one in places if not pictures.own[one] and pictures.ids[one] in shown]
        sources.append(rows[places])
        if photos:
            changes.append(rows[photos] - rows[[shown[one] for one in pictures.ids[photos]]])
    classifier = load_backbone(material.spec).layout.classifier
    classes = None if classifier is None else classifier[0]
    return replace(store.projection, look=fit_look(sources, changes, classes))


def without_exams_of(material: Material, catalog: Catalog) -> Material:
    """The material less what photos of one catalog say about how far training is to be trusted."""
    left = [
        exam
        for exam in material.exams
        if catalog.by_id.get(exam.products[0].product_id) is not exam.products[0]
    ]
    return replace(material, exams=tuple(left), answers=material.answers if left else None)


def part(material: Material, sources: Rows) -> Material:
    """The material of some pictures, by their numbers."""
    pictures, store = material.pictures.only(sources), material.store.only(sources)
    return replace(material, pictures=pictures, store=store)


def relabelled(material: Material, labels: Rows) -> Material:
    """The material under other labels (sources,); what is UNKNOWN is left out.

    Labels beyond the identities that there were are concepts of their own.
    """
    pictures = material.pictures
    beyond = np.arange(max(0, int(labels.max()) + 1 - pictures.identities))
    concepts = np.concatenate([pictures.concepts, pictures.concepts.max() + 1 + beyond])
    renamed = replace(pictures, ids=labels, concepts=concepts)
    return part(replace(material, pictures=renamed), np.flatnonzero(labels != UNKNOWN))


def first_identities(pictures: TrainingPictures, count: int, seed: int = 0) -> Rows:
    """Numbers of the pictures of ``count`` identities drawn at random; fewer are among more."""
    order = np.random.default_rng(seed).permutation(pictures.identities)
    return np.flatnonzero(np.isin(pictures.ids, order[:count]))
