"""Ablations: variants of training on the same pictures, views and steps, and parts of the data.

A linear map on frozen features takes some minutes on a CPU, so that a table of variants can be made
in one run; with the identity branch a variant takes half an hour or more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.backbone.load import load_backbone
from models.catalog.folder import Catalog
from models.curation.documents import UNKNOWN
from models.embedding.load import best_device
from models.embedding.projection import Projection
from models.progress import Phases
from models.training.embedding.dataset import TrainingConfig, TrainingData
from models.training.embedding.fit_appearance import fit_appearance
from models.training.embedding.identity_tower import IdentityTower
from models.training.embedding.initial_tower import initial_tower
from models.training.embedding.recipe import Recipe
from models.training.embedding.samples import TrainingPictures
from models.training.embedding.train import BRANCH_RECIPE, MAPS_RECIPE, train_tower

Rows = NDArray[np.int64]
CONTRAST_MAPS = replace(BRANCH_RECIPE, learning_rate=1e-3, temperature=0.1)
"""The best for contrast on val photos of the synthetic catalog, of learning rates from 3e-4 to 3e-3
and temperatures from .02 to .2."""
CONTRAST_SHARE = 0.25
"""Of an identity branch's passes, before identification. Maps alone are worse with it."""


@dataclass(frozen=True)
class Variant:
    """A variant of training.

    Attributes:
        name: in the table.
        contrast: contrastive throughout, no identification.
        sparse: only near prototypes are negatives.
        maps: the recipe of maps alone; that of an identity branch is `BRANCH_RECIPE`.
    """

    name: str
    contrast: bool = False
    sparse: bool = False
    maps: Recipe = MAPS_RECIPE

    def recipe(self, identity_branch: bool) -> Recipe:
        """The recipe of an identity branch, or of maps alone."""
        recipe = BRANCH_RECIPE if identity_branch else self.maps
        return recipe.sparse() if self.sparse else recipe

    def contrast_share(self, identity_branch: bool) -> float:
        """The contrastive share of the passes, 0..1; the rest is identification."""
        if self.contrast:
            return 1.0
        return CONTRAST_SHARE if identity_branch else 0.0


CONTRAST = Variant("contrastive", contrast=True, maps=CONTRAST_MAPS)
IDENTITY = Variant("ID recognition")
SPARSE = Variant("ID recognition, sparse negatives", sparse=True)


def train_variant(
    variant: Variant,
    data: TrainingData,
    passes: float,
    checkpoint: Path,
    progress: Phases,
    *,
    identity_branch: bool = False,
) -> IdentityTower:
    """A tower trained for ``passes`` over the pictures.

    Without validation: every variant ends with its last weights after the same number of steps.
    """
    tower = initial_tower(data, identity_branch=identity_branch)[0].to(best_device())
    contrast = passes * variant.contrast_share(identity_branch)
    config = TrainingConfig(folders=(), contrast_passes=contrast, passes=passes - contrast)
    alone = replace(data, tasks=(), task_cache=None)
    train_tower(
        tower, alone, config, variant.recipe(identity_branch), checkpoint, progress=progress
    )
    return tower.eval()


def with_refitted_appearance(data: TrainingData) -> Projection:
    """The projection with its appearance fitted on these pictures and the backbone's classes."""
    pictures, cache = data.pictures, data.cache
    rows = cache.projection.raw_features(cache.pooled_features(cache.clean_rows()))
    sources = [rows[pictures.catalogs == one] for one in np.unique(pictures.catalogs)]
    classifier = load_backbone(data.spec).layout.classifier
    classes = None if classifier is None else classifier[0]
    return replace(cache.projection, appearance=fit_appearance(sources, classes))


def without_validation_on(data: TrainingData, catalog: Catalog) -> TrainingData:
    """The data without validation on photos of one catalog: it must not select the model."""
    kept = [
        task
        for task in data.tasks
        if catalog.by_id.get(task.products[0].product_id) is not task.products[0]
    ]
    return replace(data, tasks=tuple(kept), task_cache=data.task_cache if kept else None)


def subset(data: TrainingData, sources: Rows) -> TrainingData:
    """The data of some pictures, by their row numbers."""
    pictures, cache = data.pictures.select(sources), data.cache.select(sources)
    return replace(data, pictures=pictures, cache=cache)


def with_labels(data: TrainingData, labels: Rows) -> TrainingData:
    """The data with other labels (sources,); pictures with UNKNOWN are left out.

    Labels beyond the known identities are concepts of their own.
    """
    pictures = data.pictures
    new = np.arange(max(0, int(labels.max()) + 1 - pictures.identities))
    concepts = np.concatenate([pictures.concepts, pictures.concepts.max() + 1 + new])
    renamed = replace(pictures, ids=labels, concepts=concepts)
    return subset(replace(data, pictures=renamed), np.flatnonzero(labels != UNKNOWN))


def first_identities(pictures: TrainingPictures, count: int, seed: int = 0) -> Rows:
    """Rows of the pictures of ``count`` random identities; smaller counts are subsets of larger."""
    order = np.random.default_rng(seed).permutation(pictures.identities)
    return np.flatnonzero(np.isin(pictures.ids, order[:count]))
