"""Training the picture side of the encoder: `lookstream train embedding DIR...`.

The three stages of Pailitao-VL §4 on catalog folders. Where nothing was trained before, principal
axes come first (`models.projection_fit`); else training goes on from the encoder that there is, on
the new catalog's pictures: onboarding takes minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from models.curation.report import read_clusters
from models.data.catalog import Catalog, read_catalog
from models.juice import Floats
from models.networks import BackboneSpec, named_backbone
from models.patch_network import patch_network
from models.projection import (
    DEPTH_WEIGHTS,
    IDENTITY_WEIGHT,
    Projection,
    fit_axes,
    has_tail,
    load_projection,
    save_projection,
)
from models.projection_fit import fit_projection, widened
from models.tail import Tail, load_tail, tail_tensors
from models.training.batches import ViewBatches
from models.training.pictures import TrainingPictures, training_pictures
from models.training.recipe import Recipe
from models.training.stages import Checkpointing, Trained, train
from models.training.state import Encoder, Record
from models.training.tower import Tower
from models.training.validation import Exam, exam_sources, examine
from models.training.view_store import Recorded, ViewStore, make_views
from models.vector import PICTURE_WIDTH

BATCH = 64
BACKGROUNDS = 96
VALIDATION_SPLIT = "val"

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What is learned from, and for how long.

    Attributes:
        folders: catalog folders.
        backbone: as in `models.networks.named_backbone`.
        start: the encoder's file to go on from; None begins with principal axes.
        split: photos of this split are learned from; those of "val" decide when to stop.
        limit: at most about so many pictures per folder.
        clusters: what `lookstream curate` wrote for each folder; none trusts the folders' ids.
        contrast_passes, passes: over all pictures, of stage 1 and of stage 3; with none of
            either, principal axes are all there is.
        tail: whether the last stages of the network are trained too, or the maps alone.
        seed: of views, order and first weights.
    """

    folders: tuple[Path, ...]
    backbone: str = "lite2"
    start: Path | None = None
    split: str = "train"
    limit: int | None = None
    clusters: tuple[Path, ...] = ()
    contrast_passes: float = 1.0
    passes: float = 12.0
    tail: bool = True
    seed: int = 0

    @property
    def command(self) -> str:
        """The command that learns the same."""
        words = ["lookstream train embedding", *(folder.name for folder in self.folders)]
        words += [f"--backbone {self.backbone} --split {self.split} --seed {self.seed}"]
        words += [f"--contrast-passes {self.contrast_passes:g} --passes {self.passes:g}"]
        words += [] if self.limit is None else [f"--limit {self.limit}"]
        words += [] if self.tail else ["--no-tail"]
        words += [f"--clusters {path.name}" for path in self.clusters]
        return " ".join([*words, "--afresh" if self.start is None else "--start FILE"])


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
    recipe: Recipe | None = None,
    device: str = "cpu",
    processes: int = 2,
    progress: Progress = lambda what, done, total: None,
) -> Fitted:
    """Train on the folders of a lesson.

    Args:
        lesson: what is learned from.
        work: a folder for views and checkpoints; a second call with the same lesson goes on there.
        recipe: how; its numbers of steps are set by the lesson's passes.
        device: "cpu" or "cuda", of training itself.
        processes: that make views.
        progress: see `Progress`.

    Raises:
        CatalogError, PictureError: a folder or a picture cannot be read.
        ProjectionError: too few pictures for principal axes.
        TrainingError: too few identities; or the loss is not finite.
    """
    spec = named_backbone(lesson.backbone)
    catalogs = [read_catalog(folder) for folder in lesson.folders]
    base = lesson.start or _principal_axes(lesson, work, progress)
    if not lesson.passes and not lesson.contrast_passes:
        _, layout = patch_network(spec)
        return Fitted(load_projection(base, layout.widths), None, [])
    curated = [
        {key: label for key, (label, _) in read_clusters(path).items()} for path in lesson.clusters
    ]
    pictures = training_pictures(catalogs, lesson.split, lesson.limit, curated)
    recorded = Recorded(spec, base, _backgrounds(pictures), lesson.seed)

    def views(name: str, sources: Sequence[object]) -> ViewStore:
        return make_views(
            work / name,
            sources,  # type: ignore[arg-type]
            recorded,
            processes=processes,
            progress=lambda done, total: progress(f"making {name}", done, total),
        )

    store = views("views", pictures.sources)
    asked, exams = exam_sources(catalogs, VALIDATION_SPLIT)
    answers = views("exams", asked) if asked else None
    tower, projection = begin_tower(spec, base, store, pictures, tail=lesson.tail)
    tower.to(device)
    batches = ViewBatches(store, pictures, BATCH, lesson.seed)
    per_pass = batches.steps_per_pass
    recipe = replace(
        recipe or Recipe(learning_rate=4e-4, scale=24.0, margin=0.25, smoothing=0.05, clip=5.0),
        contrast_steps=round(lesson.contrast_passes * per_pass),
        identity_steps=round(lesson.passes * per_pass),
        validate_every=2 * per_pass,
        seed=lesson.seed,
    )
    trained = train(
        tower,
        batches,
        recipe,
        library=batches.library,
        validate=None if answers is None else lambda one: _score(one, answers, exams),
        progress=lambda record: progress(f"stage {record.stage}", record.step, record.steps),
        checkpoint=Checkpointing(work / "checkpoint"),
    )
    card = _card(lesson, spec, catalogs, pictures, trained, answers, exams, tower)
    return Fitted(replace(tower.into(projection), card=card), tower.tail, trained.history)


def begin_tower(
    spec: BackboneSpec, base: Path, store: ViewStore, pictures: TrainingPictures, *, tail: bool
) -> tuple[Tower, Projection]:
    """A tower at its first step, and the maps that it does not train.

    One that was trained before goes on. A new tail is a copy of the pretrained one, its axes those
    of the deepest features, and the joint map turns onto the principal axes of all parts together.
    """
    network, layout = patch_network(spec)
    projection = load_projection(base, layout.widths)
    if not tail and not has_tail(base):
        return Tower(projection, None), projection
    copied = Tail(network.network)
    copied.requires_grad_(tail)
    if has_tail(base):
        load_tail(copied, base)
    else:
        clean = store.clean()
        parts = np.concatenate(
            [store.fetch(clean[at : at + 256]).parts for at in range(0, len(clean), 256)]
        )
        parts = np.concatenate([parts, _first_identity(projection, parts)], axis=1)
        sources = [parts[pictures.catalogs == one] for one in np.unique(pictures.catalogs)]
        projection = replace(
            projection,
            joint=widened(fit_axes(sources, PICTURE_WIDTH, None), PICTURE_WIDTH),
            identity=projection.depths[-1],
        )
    return Tower(projection, copied), projection


def _first_identity(projection: Projection, parts: Floats) -> Floats:
    """The identity part (n, k) while the tail is a copy: the deepest one with its own weight."""
    end = projection.raw_width - projection.colour.matrix.shape[1]
    deepest = parts[:, end - projection.depths[-1].matrix.shape[1] : end]
    return np.float32(IDENTITY_WEIGHT / DEPTH_WEIGHTS[-1]) * deepest


def _principal_axes(lesson: Lesson, work: Path, progress: Progress) -> Path:
    path = work / "axes.safetensors"
    if not path.is_file():
        fitted = fit_projection(
            lesson.folders,
            backbone=lesson.backbone,
            split=lesson.split,
            limit=min(1500, lesson.limit or 1500),
            seed=lesson.seed,
            progress=lambda done, total: progress("finding principal axes", done, total),
        )
        card = {"command": lesson.command, **fitted.card}
        save_projection(replace(fitted, card=card), path)
    return path


def _backgrounds(pictures: TrainingPictures) -> tuple[str, ...]:
    """Photos to put products before: what is drawn once per pass is no product's own picture."""
    photos = [
        one.path for one, draws in zip(pictures.sources, pictures.draws, strict=True) if draws == 1
    ]
    return tuple(photos[:: max(1, len(photos) // BACKGROUNDS)][:BACKGROUNDS])


def _score(encoder: Encoder, answers: ViewStore, exams: Sequence[Exam]) -> float:
    return float(np.mean([examine(encoder, answers, exam)["average"] for exam in exams]))


def _card(
    lesson: Lesson,
    spec: BackboneSpec,
    catalogs: Sequence[Catalog],
    pictures: TrainingPictures,
    trained: Trained,
    answers: ViewStore | None,
    exams: Sequence[Exam],
    tower: Tower,
) -> dict[str, object]:
    counts = np.bincount(pictures.catalogs, minlength=len(catalogs)).tolist()
    card: dict[str, object] = {
        "command": lesson.command,
        "backbone": spec.timm_name,
        "fingerprint": spec.fingerprint(),
        "pictures": {
            catalog.folder.name: count for catalog, count in zip(catalogs, counts, strict=True)
        },
        "identities": pictures.identities,
        "steps": len(trained.history),
    }
    if answers is not None:
        card["validation"] = [
            {name: round(rate, 4) for name, rate in examine(tower, answers, exam).items()}
            for exam in exams
        ]
    return card
