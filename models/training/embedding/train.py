"""Training the picture side of the encoder: `lookstream train embedding DIR...`.

The three stages of Pailitao-VL §4 on catalog folders. Where nothing was trained before, principal
axes come first (`models.training.embedding.pca_init`); else training goes on from the encoder that
there is, on the new catalog's pictures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from models.arrays import Floats, unit
from models.backbone.identity_branch import Tail, load_tail, tail_tensors
from models.backbone.patch_network import patch_network
from models.backbone.spec import named_backbone
from models.embedding.identity_library import Library
from models.embedding.layout import IDENTITY_WIDTH
from models.embedding.projection import (
    DEPTH_WEIGHTS,
    KNOWN_WEIGHT,
    Projection,
    has_tail,
    load_projection,
    save_projection,
)
from models.training.embedding.batches import ViewBatches
from models.training.embedding.class_centroids import gather
from models.training.embedding.dataset import Lesson, Material, Progress, prepare, principal_axes
from models.training.embedding.fit_pca import fit_axes, turn, widened
from models.training.embedding.identity_tower import Tower
from models.training.embedding.recipe import Recipe
from models.training.embedding.run_state import Encoder, Record
from models.training.embedding.samples import TrainingPictures
from models.training.embedding.stages import Checkpointing, Trained, train
from models.training.embedding.validation import best_trust, examine, vectors

BATCH = 64
RECIPE = Recipe(learning_rate=4e-4, scale=12.0, margin=0.1, kinship=0.3, clip=5.0)
"""Of a tail and the maps behind it; the numbers of steps are the lesson's.

At twice the scale prototypes soon know the training photos by heart, so that nothing is left to be
learned from; and what an identity is told from is mostly its own category, which less kinship tears
apart (decision 9)."""
MAPS = replace(RECIPE, learning_rate=2e-3)
"""Of maps alone, which by the tail's rate are far from learned."""

TRUST_FROM_PHOTOS, TRUST_FROM_PICTURES = 0.8, 0.5
"""Trust in what no photo examined, learned from photos of the products or from the products' own
pictures alone. Of grocery by the latter (I-HR@1): look .45, identity .38, half of each .51."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """What training ended with: the maps, the tail if one was trained, and how it went."""

    projection: Projection
    tail: Tail | None
    history: list[Record]

    def save(self, path: Path) -> None:
        """Write the encoder's file (safetensors, fp16) and its card."""
        tensors = {} if self.tail is None else tail_tensors(self.tail)
        save_projection(
            self.projection, path, {name: tensor.numpy() for name, tensor in tensors.items()}
        )


def train_embedding(
    lesson: Lesson,
    work: Path,
    *,
    device: str = "cpu",
    processes: int = 2,
    progress: Progress = lambda what, done, total: None,
) -> Fitted:
    """Train on the folders of a lesson.

    Args:
        lesson: what is learned from.
        work: a folder for views and checkpoints; a second call with the same lesson goes on there.
        device: "cpu" or "cuda", of training itself.
        processes: that make views.
        progress: see `Progress`.

    Raises:
        CatalogError, CurationError, PictureError: a folder or a file in it cannot be read.
        ProjectionError: too few pictures for principal axes.
        TrainingError: too few identities; or the loss is not finite.
    """
    if not lesson.passes and not lesson.contrast_passes:
        base = lesson.start or principal_axes(lesson, work, progress)
        _, layout = patch_network(named_backbone(lesson.backbone))
        return Fitted(load_projection(base, layout.widths), None, [])
    material = prepare(lesson, work, processes=processes, progress=progress)
    tower, projection = begin_tower(material, tail=lesson.tail)
    begun = {name: value.clone() for name, value in tower.state_dict().items()}
    recipe = RECIPE if lesson.tail else MAPS
    trained = teach(
        tower.to(device), material, lesson, recipe, work / "checkpoint", progress=progress
    )
    blend(tower, begun, lesson.keep)
    rows = identities(tower, material)
    axes = turn(prototypes(rows, material.pictures))
    tower.turn(axes)
    learned = tower.into(projection, library_of(tower, material, rows @ axes))
    card = _card(lesson, material, trained, tower)
    return Fitted(replace(learned, card=card), tower.tail, trained.history)


def teach(
    tower: Tower,
    material: Material,
    lesson: Lesson,
    recipe: Recipe,
    checkpoint: Path,
    *,
    progress: Progress = lambda what, done, total: None,
) -> Trained:
    """Train a tower in place by a recipe, for as many passes as the lesson has of each stage."""
    batches = ViewBatches(material.store, material.pictures, BATCH, lesson.seed)
    per_pass = batches.steps_per_pass
    return train(
        tower,
        batches,
        replace(
            recipe,
            contrast_steps=math.ceil(lesson.contrast_passes * per_pass),
            identity_steps=math.ceil(lesson.passes * per_pass),
            validate_every=2 * per_pass,
            seed=lesson.seed,
        ),
        library=batches.library,
        concepts=torch.from_numpy(material.pictures.concepts),
        validate=None if material.answers is None else lambda one: validation(one, material),
        progress=lambda record: progress(f"stage {record.stage}", record.step, record.steps),
        checkpoint=Checkpointing(checkpoint),
    )


@torch.no_grad()
def blend(tower: Tower, other: Mapping[str, torch.Tensor], share: float) -> None:
    """Move the weights of a tower by ``share``, 0..1, of the way to others of its shape."""
    for name, value in tower.state_dict().items():
        if value.is_floating_point():
            value.lerp_(other[name].to(value), share)


def validation(encoder: Encoder, material: Material) -> float:
    """Mean over the exams of their average hit rate, 0..1; 0 without exams."""
    if material.answers is None:
        return 0.0
    rates = [examine(encoder, material.answers, exam)["average"] for exam in material.exams]
    return float(np.mean(rates))


def identities(tower: Tower, material: Material) -> Floats:
    """What a tower makes of the pictures as they are, unit rows (n, 128)."""
    return unit(vectors(tower.eval(), material.store, material.store.clean()))


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
        found.append(gather(rows[own], ids))
    return found


def library_of(tower: Tower, material: Material, rows: Floats) -> Library:
    """What a tower was taught by a material, and how far its exams say that it is to be trusted.

    ``rows`` (n, 128) are the `identities` of the material's pictures.
    """
    pictures = material.pictures
    if material.answers is not None:
        trust = best_trust(tower.eval(), material.answers, material.exams)
    else:
        photographed = np.intersect1d(pictures.ids[pictures.own], pictures.ids[~pictures.own])
        trust = TRUST_FROM_PHOTOS if len(photographed) else TRUST_FROM_PICTURES
    return Library(gather(rows, pictures.ids), trust)


def begin_tower(material: Material, *, tail: bool) -> tuple[Tower, Projection]:
    """A tower at its first step, and the maps that it does not train.

    One that was trained before goes on. Else the identity begins on the principal axes of all parts
    together; a new tail is a copy of the pretrained one, with the axes of the deepest features.
    """
    projection, copied = material.store.projection, None
    if tail or has_tail(material.base):
        copied = Tail(patch_network(material.spec)[0].network)
        copied.requires_grad_(tail)
    if copied is not None and has_tail(material.base) and projection.identity is not None:
        load_tail(copied, material.base)
        return Tower(projection.identity, projection.known, copied), projection
    if copied is None and projection.identity is not None:
        return Tower(projection.identity), projection
    parts = material.store.parts(material.store.clean())
    if copied is not None:
        parts = np.concatenate([parts, _first_known(projection, parts)], axis=1)
    catalogs = material.pictures.catalogs
    sources = [parts[catalogs == one] for one in np.unique(catalogs)]
    identity = widened(fit_axes(sources, IDENTITY_WIDTH, None), IDENTITY_WIDTH)
    known = None if copied is None else projection.depths[-1]
    return Tower(identity, known, copied), projection


def _first_known(projection: Projection, parts: Floats) -> Floats:
    """What the tail knows (n, k) while it is a copy: the deepest part with its own weight."""
    end = parts.shape[1] - projection.colour.matrix.shape[1]
    deepest = parts[:, end - projection.depths[-1].matrix.shape[1] : end]
    return np.float32(KNOWN_WEIGHT / DEPTH_WEIGHTS[-1]) * deepest


def _card(lesson: Lesson, material: Material, trained: Trained, tower: Tower) -> dict[str, object]:
    names = [catalog.folder.name for catalog in material.catalogs]
    counts = np.bincount(material.pictures.catalogs, minlength=len(names)).tolist()
    card: dict[str, object] = {
        "command": lesson.command,
        "backbone": material.spec.timm_name,
        "fingerprint": material.spec.fingerprint(),
        "pictures": dict(zip(names, counts, strict=True)),
        "identities": material.pictures.identities,
        "steps": len(trained.history),
    }
    if material.answers is not None:
        card["validation"] = [
            {name: round(rate, 4) for name, rate in examine(tower, material.answers, exam).items()}
            for exam in material.exams
        ]
    return card
