"""What a training run is going to do: what it learns from and leaves out, and how long it takes.

The time is estimated from a few views and steps that are made and thrown away.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from models.backbone.identity_branch import IdentityBranch
from models.backbone.patch_network import patch_network
from models.backbone.spec import BackboneSpec, named_backbone
from models.catalog.folder import Catalog
from models.embedding.projection import has_identity_branch
from models.images.files import open_picture
from models.progress import Progress, no_progress
from models.training.embedding.batches import CENTROID_VIEWS
from models.training.embedding.dataset import (
    MAX_PCA_PICTURES,
    TrainingConfig,
    TrainingSources,
    collect_sources,
)
from models.training.embedding.exam import ExamQuestions
from models.training.embedding.feature_cache import CacheSettings, ViewMaker
from models.training.embedding.recipe import Recipe
from models.training.embedding.samples import training_products
from models.training.embedding.train import BATCH, scheduled

TIMED_VIEWS, TIMED_STEPS = 6, 2
NO_SPLIT = 'no split (photos.jsonl: "train" is learned from, "val" asked)'

FORWARD_SHARE = 1 / 3
"""Of a step's time, what embedding its batch takes: gradients cost about twice as much."""


@dataclass(frozen=True)
class LeftOut:
    """Products that are not learned from, and why."""

    reason: str
    products: tuple[str, ...]


@dataclass(frozen=True)
class CatalogPlan:
    """What a run does with one catalog.

    Attributes:
        catalog: its folder's name.
        products: all of them.
        pictures, identities: learned from.
        left_out: products that are not.
        exam: the questions; None where there are none.
    """

    catalog: str
    products: int
    pictures: int
    identities: int
    left_out: tuple[LeftOut, ...]
    exam: ExamQuestions | None


@dataclass(frozen=True)
class Work:
    """How much there is to do: views to make, steps with gradients, batches without."""

    views: int
    steps: int
    forward: int


@dataclass(frozen=True)
class Costs:
    """What it costs here: seconds a view, with all processes at work, and a step."""

    view_s: float
    step_s: float

    def seconds(self, work: Work) -> tuple[float, float]:
        """For the views, and for the rest."""
        return (
            work.views * self.view_s,
            (work.steps + FORWARD_SHARE * work.forward) * self.step_s,
        )


@dataclass(frozen=True)
class TrainingPlan:
    """What a run is going to do."""

    catalogs: tuple[CatalogPlan, ...]
    work: Work
    costs: Costs

    @property
    def report(self) -> dict[str, object]:
        """The plan under its JSON keys, with every product id."""
        views, training = self.costs.seconds(self.work)
        catalogs = []
        for one in self.catalogs:
            photos = 0 if one.exam is None else len(one.exam.photos)
            asked = None if one.exam is None else one.exam.products
            exam = None if asked is None else {"products": asked, "photos": photos}
            catalogs.append({**asdict(one), "exam": exam})
        return {
            "catalogs": catalogs,
            "views": self.work.views,
            "steps": self.work.steps,
            "estimated_s": round(views + training),
        }


def plan_training(
    config: TrainingConfig,
    *,
    device: str = "cpu",
    processes: int = 2,
    ranks: int = 1,
    progress: Progress = no_progress,
) -> TrainingPlan:
    """Read the folders, and time a few views and steps.

    Args:
        config, device, processes: as for `models.training.embedding.train.train_embedding`.
        ranks: that share the steps.
        progress: called with the views and steps timed, and all of them.

    Raises:
        CatalogError, CurationError: a folder or a file in it cannot be read.
        PictureError: one of the first pictures cannot be read.
        TrainingError: too few identities, or too few products for an exam.
    """
    found = collect_sources(config)
    catalogs = tuple(_plan(config, found, number) for number in range(len(found.catalogs)))
    costs = _measure(config, found, device, processes, ranks, progress)
    return TrainingPlan(catalogs, _work(config, found), costs)


def _plan(config: TrainingConfig, found: TrainingSources, number: int) -> CatalogPlan:
    catalog, exam = found.catalogs[number], found.exams[number]
    own = found.pictures.catalogs == number
    return CatalogPlan(
        catalog=catalog.folder.name,
        products=len(catalog.products),
        pictures=int(own.sum()),
        identities=len(np.unique(found.pictures.ids[own])),
        left_out=left_out(catalog, config.split, exam),
        exam=exam,
    )


def left_out(catalog: Catalog, split: str, exam: ExamQuestions | None) -> tuple[LeftOut, ...]:
    """The products that are not learned from, by reason.

    Pictures that ``limit`` or curation leaves out are not counted.
    """
    splits: dict[str | None, set[str]] = defaultdict(set)
    for photo in catalog.photos:
        splits[photo.product_id].add(photo.split or "")
    kept = {one.product_id for one in training_products(catalog, split)}
    held_out = set(exam.held_out if exam else ())
    reasons: dict[str, list[str]] = defaultdict(list)
    for product in catalog.products:
        name = product.product_id
        pictures = [product.image] if product.image else []
        local = any(catalog.local_path(one) for one in [*pictures, *product.images])
        if name not in kept:
            others = [f'the split "{one}"' if one else NO_SPLIT for one in sorted(splits[name])]
            reasons[f"their photos are of {' and '.join(others)}"].append(name)
        elif name in held_out:
            reasons["kept for the exam"].append(name)
        elif not local and name not in splits:
            reasons["they have no picture in a file"].append(name)
    return tuple(LeftOut(reason, tuple(names)) for reason, names in reasons.items())


def _work(config: TrainingConfig, found: TrainingSources) -> Work:
    pictures, views = found.pictures, [one.views for one in found.pictures.sources]
    asked = sum(one.views for one in found.exam_sources)
    axes = len(views) if config.start is None else 0
    recipe = scheduled(Recipe(), config, max(1, int(pictures.draws.sum()) // BATCH))
    stages = (recipe.contrast_steps, recipe.identity_steps)
    validations = sum(-(-one // recipe.validate_every) for one in stages if one)
    embedded = (
        sum(min(one, CENTROID_VIEWS) for one in views)  # for prototypes
        + len(views)  # for the library
        + (validations + 2) * len(found.sources)
        + 2 * asked
    )
    return Work(
        views=sum(views)
        + len(found.sources)
        + asked
        + min(axes, MAX_PCA_PICTURES * len(found.catalogs)),
        steps=sum(stages),
        forward=-(-embedded // BATCH),
    )


def _measure(
    config: TrainingConfig,
    found: TrainingSources,
    device: str,
    processes: int,
    ranks: int,
    progress: Progress,
) -> Costs:
    spec, total, done = named_backbone(config.backbone), TIMED_VIEWS + TIMED_STEPS, 0

    def timed(work: Callable[[], object], times: int) -> float:
        """Seconds of one, the first left out, which is slower."""
        nonlocal done
        work()
        start = time.perf_counter()
        for _ in range(times):
            work()
            done += 1
            progress(done, total)
        return (time.perf_counter() - start) / times

    progress(done, total)
    at_once = min(processes, len(os.sched_getaffinity(0)))
    view_s = timed(_one_view(spec, found), TIMED_VIEWS) / at_once
    return Costs(view_s, timed(_one_step(config, spec, device, ranks), TIMED_STEPS))


def _one_view(spec: BackboneSpec, found: TrainingSources) -> Callable[[], object]:
    maker, sources = ViewMaker(CacheSettings(spec)), found.pictures.sources
    numbers = iter(range(len(sources) * (TIMED_VIEWS + 1)))

    def make() -> object:
        number = next(numbers)
        picture = open_picture(Path(sources[number % len(sources)].path))
        return maker.features(maker.view(picture, number, 1))

    return make


def _one_step(
    config: TrainingConfig, spec: BackboneSpec, device: str, ranks: int
) -> Callable[[], object]:
    """A step of the identity branch alone; the maps behind it cost next to nothing."""
    trained = config.identity_branch
    if not trained and (config.start is None or not has_identity_branch(config.start)):
        return lambda: None
    network = patch_network(spec)[0]
    branch = IdentityBranch(network.network).requires_grad_(trained).to(device)
    with torch.inference_mode():
        shape = network.maps(torch.zeros(1, 3, spec.size, spec.size))[0].shape[1:]
    trunk = torch.randn(max(1, BATCH // ranks), *shape, device=device)
    trunk = trunk.contiguous(memory_format=torch.channels_last)
    kind = device.partition(":")[0]
    mixed = torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda")

    def step() -> object:
        with mixed:
            loss = branch(trunk).float().square().mean()
        if trained:
            gradients = torch.autograd.grad(loss, list(branch.parameters()))
            return float(gradients[0].sum())  # which waits for a GPU
        return float(loss)

    return step
