"""Lessons on maps alone: one way of training each, all on the same frozen features and steps.

A lesson takes a minute or two on a CPU, so that a table of them can be made in one run. What the
network's trained tail adds on top is measured on the packaged weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.curation.documents import UNKNOWN
from models.training.embedding import RECIPE, begin_tower, teach
from models.training.material import Lesson, Material, Progress
from models.training.pictures import TrainingPictures
from models.training.recipe import Recipe
from models.training.tower import Tower

Rows = NDArray[np.int64]
MAPS = replace(RECIPE, learning_rate=3e-4, margin=0.1)
"""`RECIPE` is a tail's; a map alone starts to forget with its margin."""
CONTRAST_SHARE = 0.25
"""Of the passes; the rest is identification."""


@dataclass(frozen=True)
class Course:
    """A way of training: its name, its recipe, and which share of the passes is contrastive."""

    name: str
    recipe: Recipe
    contrast: float = CONTRAST_SHARE


CONTRAST = Course("contrastive", MAPS, 1.0)
IDENTITY = Course("ID recognition", MAPS)
SPARSE = Course("ID recognition, sparse negatives", MAPS.sparse())


def untrained(material: Material) -> Tower:
    """Raw features with colour on principal axes."""
    return begin_tower(material, tail=False)[0]


def taught(
    course: Course, material: Material, passes: float, checkpoint: Path, progress: Progress
) -> Tower:
    """A tower trained on the material for ``passes`` over its pictures.

    No validation: every course ends with its last weights after the same number of steps.
    """
    tower = untrained(material)
    lesson = Lesson(
        folders=(),
        contrast_passes=passes * course.contrast,
        passes=passes * (1 - course.contrast),
    )
    alone = replace(material, exams=(), answers=None)
    teach(tower, alone, lesson, course.recipe, checkpoint, progress=progress)
    return tower.eval()


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
