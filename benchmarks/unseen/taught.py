"""Learning from a catalog's own pictures, measured also on products that were left out of it.

The products that photos ask for are halved, and each half is asked of what was learned without it,
among all items.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.unseen.catalog_task import VIEWS, CatalogTask
from benchmarks.unseen.features import Rows
from benchmarks.unseen.left_out import LeftOut
from benchmarks.unseen.measured import measure
from benchmarks.unseen.variants import (
    ADAPTED_APART,
    TRAINED,
    TRAINED_APART,
    Evidence,
    Variants,
    similarity,
)
from models.arrays import Floats
from models.backbone.spec import named_backbone
from models.embedding.adapt import learn_query_map
from models.embedding.part_weights import weigh_parts
from models.embedding.projection import Projection
from models.training.embedding.build_library import build_library, encode_identities
from models.training.embedding.dataset import TrainingConfig, TrainingData
from models.training.embedding.feature_cache import FeatureCache, Source
from models.training.embedding.identity_tower import IdentityTower, ViewFeatures
from models.training.embedding.samples import TrainingPictures
from models.training.embedding.train import MAPS_RECIPE, train_tower

HALVES = 2
PICTURE_AND_VIEWS = 1 + VIEWS


def adapted_apart(catalog: LeftOut, evidence: Evidence) -> Variants:
    """By query maps that were learned without the products asked for; no map if the exam failed."""

    def without(held_out: Rows) -> Floats:
        if not evidence.adapted:
            return similarity(catalog, evidence.weights)
        taught = ~np.isin(catalog.task.witnesses, held_out)
        witnesses, weights = catalog.witnesses(mild=False), evidence.weighed.weights
        query_map = learn_query_map(witnesses, weights, taught=taught)
        return similarity(catalog, replace(weights, query_map=query_map))

    return {ADAPTED_APART: measure(catalog.task, by_halves(catalog.task, without))}


def trained(catalog: LeftOut) -> Variants:
    """By an identity map that is trained on the items with views, and weighed anew.

    The identity branch stays as it is, as with `train embedding --no-identity-branch`; the recipe
    and the passes are those of that command. The views are those that query maps are learned from,
    whose features are there already: five pictures of an item, where the command makes sixteen.
    """

    def without(held_out: Rows) -> Floats:
        taught = ~np.isin(catalog.task.witnesses, held_out)
        after = catalog.with_projection(_train(catalog, taught))
        return similarity(after, weigh_parts(after.witnesses(mild=True), after.prior).weights)

    return {
        TRAINED: measure(catalog.task, without(np.zeros(0, np.intp))),
        TRAINED_APART: measure(catalog.task, by_halves(catalog.task, without)),
    }


def by_halves(task: CatalogTask, similarity_without: Callable[[Rows], Floats]) -> Floats:
    """Cosines (queries, items), each half of the products asked for by what never saw it.

    ``similarity_without`` is called with the items that nothing may be learned from.
    """
    shuffled = np.random.default_rng(0).permutation(np.unique(task.asked))
    found = np.zeros((len(task.queries), len(task.items)), np.float32)
    for half in np.array_split(shuffled, HALVES):
        inside = np.isin(task.asked, half)
        found[inside] = similarity_without(half)[inside]
    return found


class IdentityInputs(FeatureCache):
    """Items, each with its views, as an identity map alone sees them: without trunk maps."""

    def __init__(self, projection: Projection, inputs: Floats) -> None:
        count = len(inputs) // PICTURE_AND_VIEWS
        self.projection = projection
        self.sources = tuple(Source(str(number), PICTURE_AND_VIEWS) for number in range(count))
        self.starts = np.arange(count + 1) * PICTURE_AND_VIEWS
        self._inputs = inputs

    def fetch(self, rows: NDArray[np.int64]) -> ViewFeatures:
        """The inputs of some rows, in their order."""
        nothing = np.zeros((len(rows), 0), np.float32)
        return ViewFeatures(nothing, nothing, self._inputs[rows])


def _train(catalog: LeftOut, taught: NDArray[np.bool_]) -> Projection:
    """The projection with an identity map and a library of some of the witnesses."""
    task, projection = catalog.task, catalog.projection
    assert projection.identity is not None
    numbers = task.witnesses[taught]
    views = task.views.reshape(-1, VIEWS)[taught]
    features = catalog.features.of(np.column_stack([task.items[numbers], views]).reshape(-1))
    cache = IdentityInputs(projection, projection.identity_inputs(features.pooled, features.branch))
    own = task.categories.max() + 1 + np.arange(len(numbers))
    categories = np.where(task.categories[numbers] >= 0, task.categories[numbers], own)
    pictures = TrainingPictures(
        cache.sources,
        np.arange(len(numbers)),
        np.zeros(len(numbers), np.int64),
        np.ones(len(numbers), bool),
        np.unique(categories, return_inverse=True)[1],
    )
    config = TrainingConfig(folders=(task.catalog.folder,), identity_branch=False)
    spec = named_backbone(config.backbone)
    data = TrainingData(
        spec,
        base=Path(),
        catalogs=(task.catalog,),
        pictures=pictures,
        cache=cache,
        tasks=(),
        task_cache=None,
        exams=(None,),
        exam_tasks=(),
        exam_cache=None,
    )
    tower = IdentityTower(projection.identity)
    with tempfile.TemporaryDirectory(prefix="lookstream-catalogs-") as folder:
        train_tower(tower, data, config, MAPS_RECIPE, Path(folder) / "checkpoint")
    library = build_library(tower, data, encode_identities(tower, data))
    fitted = tower.to_projection(projection, library)
    return replace(projection, identity=fitted.identity, library=library)
