"""Training the identity of pictures: `lookstream train embedding DIR...`.

The three stages of Pailitao-VL §4 on catalog folders. An untrained encoder starts from principal
axes (`models.training.embedding.pca_init`); a trained one is fine-tuned on the new catalogs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from models.arrays import Floats
from models.backbone.identity_branch import (
    IdentityBranch,
    identity_branch_tensors,
    load_identity_branch,
)
from models.backbone.patch_network import patch_network
from models.backbone.spec import named_backbone
from models.embedding.identity_library import IdentityLibrary
from models.embedding.projection import (
    Projection,
    has_identity_branch,
    load_projection,
    save_projection,
)
from models.progress import Phases, Progress, no_phases, no_progress, of_phase
from models.training.embedding.batches import ViewBatches
from models.training.embedding.build_library import (
    build_library,
    catalog_centroids,
    encode_identities,
)
from models.training.embedding.dataset import (
    TrainingConfig,
    TrainingData,
    initial_projection,
    prepare_training_data,
)
from models.training.embedding.exam import Exam, compare, served_hits
from models.training.embedding.fit_pca import fit_rotation
from models.training.embedding.identity_tower import IdentityTower
from models.training.embedding.initial_tower import initial_tower
from models.training.embedding.ranks import broadcast_weights, first_rank_first, joined_ranks
from models.training.embedding.recipe import Recipe
from models.training.embedding.run_state import Batch, StageName, StepRecord, TrainableEncoder
from models.training.embedding.stages import Checkpointing, Trained, train
from models.training.embedding.validation import evaluate_tasks

BATCH = 64
BRANCH_RECIPE = Recipe(learning_rate=4e-4, scale=12.0, margin=0.1, concept_smoothing=0.3, clip=5.0)
"""Of an identity branch and the maps behind it; `TrainingConfig` has the numbers of steps.

At twice the scale the prototypes soon overfit the training photos and the loss vanishes; hard
negatives are mostly of the own category, which less concept smoothing tears apart (decision 9)."""
MAPS_RECIPE = replace(BRANCH_RECIPE, learning_rate=2e-3)
"""Of maps alone, which converge too slowly at the branch's learning rate."""


@dataclass(frozen=True, eq=False)
class TrainedEncoder:
    """The result: all maps, the identity branch if there is one, and the history of the run.

    ``exam`` says whether it is better than what training started from; None where nothing was
    trained or examined.
    """

    projection: Projection
    identity_branch: IdentityBranch | None
    history: list[StepRecord]
    exam: Exam | None = None

    def save(self, path: Path) -> None:
        """Write the encoder's file (safetensors, fp16) and its card."""
        tensors = (
            {} if self.identity_branch is None else identity_branch_tensors(self.identity_branch)
        )
        save_projection(
            self.projection, path, {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
        )


def train_embedding(
    config: TrainingConfig,
    work: Path,
    *,
    device: str = "cpu",
    processes: int = 2,
    progress: Phases = no_phases,
) -> TrainedEncoder:
    """Train on catalog folders.

    In a process group (`ranks.process_group`) every rank calls it with the same arguments, takes
    its share of each batch, and gets the same result.

    Args:
        config: the folders, and for how long.
        work: a folder for cached features and checkpoints; a second call with the same
            configuration resumes there.
        device: "cpu" or "cuda" for the stages; the cache is built on CPUs.
        processes: that build the cache.
        progress: of building the cache, each stage's steps, validation, embedding, the exam.

    Raises:
        CatalogError, CurationError, PictureError: a folder or a file in it cannot be read.
        ProjectionError: too few pictures for principal axes.
        TrainingError: too few identities, or products for an exam; or the loss is not finite.
    """
    ranks = joined_ranks()
    if not config.passes and not config.contrast_passes:
        with first_rank_first(ranks):
            return _fit_without_training(config, work, progress)
    with first_rank_first(ranks):
        data = prepare_training_data(config, work, processes=processes, progress=progress)
    tower, projection = initial_tower(data, identity_branch=config.identity_branch)
    tower.to(device)
    if ranks is not None:
        broadcast_weights(tower)
    initial = {name: value.clone() for name, value in tower.state_dict().items()}
    starting = None if projection.identity is None else tower
    examining = of_phase(progress, "exam before training")
    before = _exam_hits(starting, projection.library, data, examining)
    recipe = BRANCH_RECIPE if config.identity_branch else MAPS_RECIPE
    name = "checkpoint" if ranks is None else f"checkpoint-{ranks.rank}-of-{ranks.world}"
    trained = train_tower(tower, data, config, recipe, work / name, progress=progress)
    interpolate_weights(tower, initial, config.keep)
    identities = encode_identities(tower, data, of_phase(progress, "embedding the pictures"))
    rotation = fit_rotation(catalog_centroids(identities, data.pictures))
    tower.rotate(rotation)
    validating = of_phase(progress, "validation of the result")
    library = build_library(tower, data, identities @ rotation, validating)
    examining = of_phase(progress, "exam after training")
    exam = _exam(data, before, _exam_hits(tower, library, data, examining))
    card = _card(config, data, trained, tower, validating)
    card |= {} if exam is None else {"exam": exam.report}
    projection = replace(tower.to_projection(projection, library), card=card)
    return TrainedEncoder(projection, tower.identity_branch, trained.history, exam)


def _exam_hits(
    tower: IdentityTower | None,
    library: IdentityLibrary | None,
    data: TrainingData,
    progress: Progress,
) -> list[Floats]:
    """What `served_hits` says of each exam."""
    if data.exam_cache is None:
        return []
    hits = []
    for done, task in enumerate(data.exam_tasks):
        progress(done, len(data.exam_tasks))
        hits.append(
            served_hits(None if tower is None else tower.eval(), library, data.exam_cache, task)
        )
    progress(len(hits), len(hits))
    return hits


def _exam(data: TrainingData, before: list[Floats], after: list[Floats]) -> Exam | None:
    asked = zip(data.catalogs, data.exams, strict=True)
    names = [catalog.folder.name for catalog, questions in asked if questions is not None]
    results = map(compare, names, data.exam_tasks, before, after)
    return Exam(tuple(results)) if names else None


def _fit_without_training(config: TrainingConfig, work: Path, progress: Phases) -> TrainedEncoder:
    """Appearance and colour fitted on the folders; the identity is that of ``config.start``."""
    path = initial_projection(config, work, progress)
    network, layout = patch_network(named_backbone(config.backbone))
    fitted = load_projection(path, layout.widths)
    if config.start is None:
        return TrainedEncoder(fitted, None, [])
    start, branch = load_projection(config.start, layout.widths), None
    if has_identity_branch(config.start):
        branch = IdentityBranch(network.network)
        load_identity_branch(branch, config.start)
    card = {**start.card, "fitted": fitted.card}
    maps = replace(start, appearance=fitted.appearance, fine_colour=fitted.fine_colour, card=card)
    return TrainedEncoder(maps, branch, [])


def train_tower(
    tower: IdentityTower,
    data: TrainingData,
    config: TrainingConfig,
    recipe: Recipe,
    checkpoint: Path,
    *,
    progress: Phases = no_phases,
) -> Trained:
    """Train a tower in place by a recipe, for the passes that ``config`` has of each stage."""
    batches = ViewBatches(data.cache, data.pictures, BATCH, config.seed, joined_ranks())
    recipe = scheduled(recipe, config, batches.steps_per_pass)

    def announced(stage: StageName, start: int) -> Iterator[Batch]:
        steps = recipe.contrast_steps if stage == "contrast" else recipe.identity_steps
        progress(f"stage {stage}", start, steps)
        yield from batches(stage, start)

    return train(
        tower,
        announced,
        recipe,
        training_pass=lambda: _with_progress(
            batches, of_phase(progress, "embedding for prototypes")
        ),
        concepts=torch.from_numpy(data.pictures.concepts),
        validate=None
        if data.task_cache is None
        else lambda one: validation_score(one, data, of_phase(progress, "validation")),
        progress=lambda record: progress(f"stage {record.stage}", record.step, record.steps),
        checkpoint=Checkpointing(checkpoint),
    )


def scheduled(recipe: Recipe, config: TrainingConfig, per_pass: int) -> Recipe:
    """The recipe with as many steps as the passes of ``config`` have, ``per_pass`` each."""
    return replace(
        recipe,
        contrast_steps=math.ceil(config.contrast_passes * per_pass),
        identity_steps=math.ceil(config.passes * per_pass),
        validate_every=2 * per_pass,
        seed=config.seed,
    )


def _with_progress(batches: ViewBatches, progress: Progress) -> Iterator[Batch]:
    """The batches of the training pass; one is done when the next is asked for."""
    steps = batches.steps_of_training_pass
    for done, batch in enumerate(batches.training_pass()):
        progress(done, steps)
        yield batch
    progress(steps, steps)


@torch.no_grad()
def interpolate_weights(
    tower: IdentityTower, other: Mapping[str, torch.Tensor], share: float
) -> None:
    """Interpolate a tower's weights with others of its shape, which have ``share``, 0..1."""
    for name, value in tower.state_dict().items():
        if value.is_floating_point():
            value.lerp_(other[name].to(value), share)


def validation_score(
    encoder: TrainableEncoder, data: TrainingData, progress: Progress = no_progress
) -> float:
    """The mean of the average hit rates of all tasks, 0..1; 0 without tasks."""
    if data.task_cache is None:
        return 0.0
    rates = evaluate_tasks(encoder, data.task_cache, data.tasks, progress)
    return float(np.mean([one["average"] for one in rates]))


def _card(
    config: TrainingConfig,
    data: TrainingData,
    trained: Trained,
    tower: IdentityTower,
    progress: Progress,
) -> dict[str, object]:
    names = [catalog.folder.name for catalog in data.catalogs]
    counts = np.bincount(data.pictures.catalogs, minlength=len(names)).tolist()
    card: dict[str, object] = {
        "command": config.command,
        "backbone": data.spec.timm_name,
        "fingerprint": data.spec.fingerprint(),
        "pictures": dict(zip(names, counts, strict=True)),
        "identities": data.pictures.identities,
        "steps": len(trained.history),
    }
    if data.task_cache is not None:
        card["validation"] = [
            {name: round(rate, 4) for name, rate in rates.items()}
            for rates in evaluate_tasks(tower, data.task_cache, data.tasks, progress)
        ]
    return card
