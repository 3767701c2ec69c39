"""Training the picture side of the encoder: `lookstream train embedding DIR...`.

The three stages of Pailitao-VL §4 on catalog folders. Where nothing was trained before, principal
axes come first (`models.training.embedding.pca_init`); else training goes on from the encoder that
there is, on the new catalog's pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from models.arrays import Floats, unit
from models.backbone.identity_branch import (
    IdentityBranch,
    identity_branch_tensors,
    load_identity_branch,
)
from models.backbone.patch_network import patch_network
from models.backbone.spec import named_backbone
from models.embedding.identity_library import IdentityLibrary
from models.embedding.layout import IDENTITY_WIDTH
from models.embedding.projection import (
    DEPTH_WEIGHTS,
    IDENTITY_BRANCH_WEIGHT,
    Projection,
    has_identity_branch,
    load_projection,
    save_projection,
)
from models.progress import Phases, Progress, no_phases, no_progress, of_phase
from models.training.embedding.batches import ViewBatches
from models.training.embedding.class_centroids import class_centroids
from models.training.embedding.dataset import (
    TrainingConfig,
    TrainingData,
    prepare,
    principal_axes,
)
from models.training.embedding.fit_pca import fit_principal_axes, fit_rotation, zero_padded
from models.training.embedding.identity_tower import Tower
from models.training.embedding.ranks import broadcast_weights, first_rank_first, joined_ranks
from models.training.embedding.recipe import Recipe
from models.training.embedding.run_state import Batch, StageName, StepRecord, TrainableEncoder
from models.training.embedding.samples import TrainingPictures
from models.training.embedding.stages import Checkpointing, Trained, train
from models.training.embedding.validation import best_identity_weight, evaluate_tasks, vectors

BATCH = 64
RECIPE = Recipe(learning_rate=4e-4, scale=12.0, margin=0.1, concept_smoothing=0.3, clip=5.0)
"""Of a tail and the maps behind it; the numbers of steps are the lesson's.

At twice the scale prototypes soon know the training photos by heart, so that nothing is left to be
learned from; and what an identity is told from is mostly its own category, which less kinship tears
apart (decision 9)."""
MAPS = replace(RECIPE, learning_rate=2e-3)
"""Of maps alone, which by the tail's rate are far from learned."""

WEIGHT_FROM_PHOTOS, WEIGHT_FROM_PICTURES = 0.8, 0.5
"""Trust in what no photo examined, learned from photos of the products or from the products' own
pictures alone. Of grocery by the latter (I-HR@1): look .45, identity .38, half of each .51."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """What training ended with: the maps, the tail if one was trained, and how it went."""

    projection: Projection
    identity_branch: IdentityBranch | None
    history: list[StepRecord]

    def save(self, path: Path) -> None:
        """Write the encoder's file (safetensors, fp16) and its card."""
        tensors = (
            {} if self.identity_branch is None else identity_branch_tensors(self.identity_branch)
        )
        save_projection(
            self.projection, path, {name: tensor.numpy() for name, tensor in tensors.items()}
        )


def train_embedding(
    config: TrainingConfig,
    work: Path,
    *,
    device: str = "cpu",
    processes: int = 2,
    progress: Phases = no_phases,
) -> Fitted:
    """Train on the folders of a lesson.

    In a process group (`ranks.process_group`) every rank calls it with the same arguments, takes
    its share of each batch, and gets the same result.

    Args:
        lesson: what is learned from.
        work: a folder for views and checkpoints; a second call with the same lesson goes on there.
        device: "cpu" or "cuda", of training itself.
        processes: that make views.
        progress: of all that takes long: views, each stage's steps, validation, embedding.

    Raises:
        CatalogError, CurationError, PictureError: a folder or a file in it cannot be read.
        ProjectionError: too few pictures for principal axes.
        TrainingError: too few identities; or the loss is not finite.
    """
    ranks = joined_ranks()
    if not config.passes and not config.contrast_passes:
        with first_rank_first(ranks):
            base = config.start or principal_axes(config, work, progress)
        _, layout = patch_network(named_backbone(config.backbone))
        return Fitted(load_projection(base, layout.widths), None, [])
    with first_rank_first(ranks):
        data = prepare(config, work, processes=processes, progress=progress)
    tower, projection = begin_tower(data, identity_branch=config.identity_branch)
    tower.to(device)
    if ranks is not None:
        broadcast_weights(tower)
    begun = {name: value.clone() for name, value in tower.state_dict().items()}
    recipe = RECIPE if config.identity_branch else MAPS
    name = "checkpoint" if ranks is None else f"checkpoint-{ranks.rank}-of-{ranks.world}"
    trained = teach(tower, data, config, recipe, work / name, progress=progress)
    blend(tower, begun, config.keep)
    rows = identities(tower, data, of_phase(progress, "embedding the pictures"))
    axes = fit_rotation(prototypes(rows, data.pictures))
    tower.fit_rotation(axes)
    judged = of_phase(progress, "validation of the result")
    learned = tower.into(projection, library_of(tower, data, rows @ axes, judged))
    card = _card(config, data, trained, tower, judged)
    return Fitted(replace(learned, card=card), tower.identity_branch, trained.history)


def teach(
    tower: Tower,
    data: TrainingData,
    config: TrainingConfig,
    recipe: Recipe,
    checkpoint: Path,
    *,
    progress: Phases = no_phases,
) -> Trained:
    """Train a tower in place by a recipe, for as many passes as the lesson has of each stage."""
    batches = ViewBatches(data.store, data.pictures, BATCH, config.seed, joined_ranks())
    per_pass = batches.steps_per_pass
    recipe = replace(
        recipe,
        contrast_steps=math.ceil(config.contrast_passes * per_pass),
        identity_steps=math.ceil(config.passes * per_pass),
        validate_every=2 * per_pass,
        seed=config.seed,
    )

    def begun(stage: StageName, start: int) -> Iterator[Batch]:
        steps = recipe.contrast_steps if stage == "contrast" else recipe.identity_steps
        progress(f"stage {stage}", start, steps)
        yield from batches(stage, start)

    return train(
        tower,
        begun,
        recipe,
        training_pass=lambda: _counted(batches, of_phase(progress, "embedding for prototypes")),
        concepts=torch.from_numpy(data.pictures.concepts),
        validate=None
        if data.answers is None
        else lambda one: validation(one, data, of_phase(progress, "validation")),
        progress=lambda record: progress(f"stage {record.stage}", record.step, record.steps),
        checkpoint=Checkpointing(checkpoint),
    )


def _counted(batches: ViewBatches, progress: Progress) -> Iterator[Batch]:
    """The batches of the library, each counted when the next one is asked for."""
    steps = batches.steps_of_training_pass
    for done, batch in enumerate(batches.training_pass()):
        progress(done, steps)
        yield batch
    progress(steps, steps)


@torch.no_grad()
def blend(tower: Tower, other: Mapping[str, torch.Tensor], share: float) -> None:
    """Move the weights of a tower by ``share``, 0..1, of the way to others of its shape."""
    for name, value in tower.state_dict().items():
        if value.is_floating_point():
            value.lerp_(other[name].to(value), share)


def validation(
    encoder: TrainableEncoder, data: TrainingData, progress: Progress = no_progress
) -> float:
    """Mean over the exams of their average hit rate, 0..1; 0 without exams."""
    if data.answers is None:
        return 0.0
    rates = evaluate_tasks(encoder, data.answers, data.tasks, progress)
    return float(np.mean([one["average"] for one in rates]))


def identities(tower: Tower, data: TrainingData, progress: Progress = no_progress) -> Floats:
    """What a tower makes of the pictures as they are, unit rows (n, 128)."""
    return unit(vectors(tower.eval(), data.store, data.store.clean(), progress))


def prototypes(rows: Floats, pictures: TrainingPictures) -> list[Floats]:
    """The mean direction of each identity (u, 128), catalog by catalog, from those of pictures.

    Turned onto their axes, identities lose less when they are cut than by the order that the losses
    of their prefixes brought about: 64 of 128 values know new products of the studio (I-HR@1) 55.4
    instead of 50.8 times in a hundred, those of grocery 87.5 instead of 86.5.
    """
    found = []
    for number in np.unique(pictures.catalogs):
        own = pictures.catalogs == number
        _, ids = np.unique(pictures.ids[own], return_inverse=True)
        found.append(class_centroids(rows[own], ids))
    return found


def library_of(
    tower: Tower, data: TrainingData, rows: Floats, progress: Progress = no_progress
) -> IdentityLibrary:
    """What a tower was taught by a material, and how far its exams say that it is to be trusted.

    ``rows`` (n, 128) are the `identities` of the material's pictures.
    """
    pictures = data.pictures
    if data.answers is not None:
        known_weight = best_identity_weight(tower.eval(), data.answers, data.tasks, progress)
    else:
        photographed = np.intersect1d(pictures.ids[pictures.own], pictures.ids[~pictures.own])
        known_weight = WEIGHT_FROM_PHOTOS if len(photographed) else WEIGHT_FROM_PICTURES
    return IdentityLibrary(class_centroids(rows, pictures.ids), known_weight)


def begin_tower(data: TrainingData, *, identity_branch: bool) -> tuple[Tower, Projection]:
    """A tower at its first step, and the maps that it does not train.

    One that was trained before goes on. Else the identity begins on the principal axes of all parts
    together; a new tail is a copy of the pretrained one, with the axes of the deepest features.
    """
    projection, copied = data.store.projection, None
    if identity_branch or has_identity_branch(data.base):
        copied = IdentityBranch(patch_network(data.spec)[0].network)
        copied.requires_grad_(identity_branch)
    if copied is not None and has_identity_branch(data.base) and projection.identity is not None:
        load_identity_branch(copied, data.base)
        return Tower(projection.identity, projection.branch, copied), projection
    if copied is None and projection.identity is not None:
        return Tower(projection.identity), projection
    parts = data.store.whitened(data.store.clean())
    if copied is not None:
        parts = np.concatenate([parts, _first_known(projection, parts)], axis=1)
    catalogs = data.pictures.catalogs
    sources = [parts[catalogs == one] for one in np.unique(catalogs)]
    identity = zero_padded(fit_principal_axes(sources, IDENTITY_WIDTH, None), IDENTITY_WIDTH)
    branch = None if copied is None else projection.depths[-1]
    return Tower(identity, branch, copied), projection


def _first_known(projection: Projection, parts: Floats) -> Floats:
    """What the tail knows (n, k) while it is a copy: the deepest part with its own weight."""
    end = parts.shape[1] - projection.colour.matrix.shape[1]
    deepest = parts[:, end - projection.depths[-1].matrix.shape[1] : end]
    return np.float32(IDENTITY_BRANCH_WEIGHT / DEPTH_WEIGHTS[-1]) * deepest


def _card(
    config: TrainingConfig,
    data: TrainingData,
    trained: Trained,
    tower: Tower,
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
    if data.answers is not None:
        card["validation"] = [
            {name: round(rate, 4) for name, rate in rates.items()}
            for rates in evaluate_tasks(tower, data.answers, data.tasks, progress)
        ]
    return card
