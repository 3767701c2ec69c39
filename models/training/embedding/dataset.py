"""What an encoder learns from, made ready: catalogs read, views made, exams set.

Made once and kept in a folder, so that a run that was cut off, or another recipe on the same
pictures, begins at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from models.backbone.load import load_backbone
from models.backbone.spec import BackboneSpec, named_backbone
from models.catalog.folder import Catalog, read_catalog
from models.curation.report import read_clusters
from models.embedding.projection import has_identity_branch, load_projection, save_projection
from models.progress import Phases, no_phases, of_phase
from models.training.embedding.feature_cache import Recorded, Source, ViewStore, make_views
from models.training.embedding.pca_init import fit_projection
from models.training.embedding.samples import USUAL_VIEWS, TrainingPictures, training_pictures
from models.training.embedding.validation import RetrievalTask, task_sources

BACKGROUNDS = 96
AXES_FROM = 1500
"""Pictures of each folder, at most, that principal axes are found from."""

VALIDATION_SPLIT = "val"


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """What is learned from, and for how long.

    Attributes:
        folders: catalog folders.
        backbone: as in `models.backbone.spec.named_backbone`.
        start: the encoder's file to go on from; None begins with principal axes.
        split: photos of this split are learned from; those of "val" decide when to stop.
        limit: at most about so many pictures per folder.
        clusters: what `lookstream curate` wrote for each folder; none trusts the folders' ids.
        contrast_passes, passes: over all pictures, of stage 1 and of stage 3; with none of
            either, principal axes are all there is.
        tail: whether the last stages of the network are trained too, or the maps alone.
        views: of a product's picture and of a photo, the clean one among them.
        keep: share of the first weights in the last ones, 0..1: what was known before, of pictures
            unlike these, is kept to that degree (Wortsman et al. 2022, WiSE-FT).
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
    identity_branch: bool = True
    views: tuple[int, int] = USUAL_VIEWS
    keep: float = 0.0
    seed: int = 0

    @property
    def command(self) -> str:
        """The command that learns the same."""
        words = ["lookstream train embedding", *(folder.name for folder in self.folders)]
        words += [f"--backbone {self.backbone} --split {self.split} --seed {self.seed}"]
        words += [f"--contrast-passes {self.contrast_passes:g} --passes {self.passes:g}"]
        words += [] if self.limit is None else [f"--limit {self.limit}"]
        words += [] if self.identity_branch else ["--no-identity-branch"]
        words += ["--views {} {}".format(*self.views)] if self.views != USUAL_VIEWS else []
        words += [f"--keep {self.keep:g}"] if self.keep else []
        words += [f"--clusters {path.name}" for path in self.clusters]
        return " ".join([*words, "--afresh" if self.start is None else "--start FILE"])


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Everything that a training run reads.

    Attributes:
        spec: the backbone.
        base: the encoder's file that training begins with.
        catalogs: the folders.
        pictures, store: what is learned from, and its views.
        exams, answers: what decides when to stop, and its pictures; none without photos of the
            split "val" that show a known product.
    """

    spec: BackboneSpec
    base: Path
    catalogs: tuple[Catalog, ...]
    pictures: TrainingPictures
    store: ViewStore
    tasks: tuple[RetrievalTask, ...]
    answers: ViewStore | None


def prepare(
    config: TrainingConfig,
    work: Path,
    *,
    processes: int = 2,
    progress: Phases = no_phases,
) -> TrainingData:
    """Make the material of a lesson in the folder ``work``, or what is still missing there.

    Raises:
        CatalogError, PictureError: a folder or a picture cannot be read.
        CurationError: a file of clusters cannot be read.
        ProjectionError: too few pictures for principal axes.
        TrainingError: too few identities.
    """
    catalogs = tuple(read_catalog(folder) for folder in config.folders)
    curated = [
        {key: label for key, (label, _) in read_clusters(path).items()} for path in config.clusters
    ]
    pictures = training_pictures(catalogs, config.split, config.limit, curated, views=config.views)
    base = config.start or principal_axes(config, work, progress)
    spec = named_backbone(config.backbone)
    layout = load_backbone(spec, threads=1).layout
    projection = load_projection(base, layout.widths)
    recorded = Recorded(
        spec,
        backgrounds_of(pictures),
        config.seed,
        trunk=config.identity_branch or has_identity_branch(base),
    )

    def views(name: str, sources: Sequence[Source]) -> ViewStore:
        return make_views(
            work / name,
            sources,
            recorded,
            projection,
            processes=processes,
            progress=of_phase(progress, f"making {name}"),
        )

    asked, tasks = task_sources(catalogs, VALIDATION_SPLIT)
    return TrainingData(
        spec,
        base,
        catalogs,
        pictures,
        views("views", pictures.sources),
        tuple(tasks),
        views("exams", asked) if asked else None,
    )


def principal_axes(config: TrainingConfig, work: Path, progress: Phases) -> Path:
    """The file of an encoder that nothing was trained for, fitted on the lesson's pictures."""
    path = work / "axes.safetensors"
    if not path.is_file():
        fitted = fit_projection(
            config.folders,
            backbone=config.backbone,
            split=config.split,
            limit=min(AXES_FROM, config.limit or AXES_FROM),
            seed=config.seed,
            progress=of_phase(progress, "finding principal axes"),
        )
        card = {"command": config.command, **fitted.card}
        save_projection(replace(fitted, card=card), path)
    return path


def backgrounds_of(pictures: TrainingPictures) -> tuple[str, ...]:
    """Photos to put products before."""
    photos = [one.path for one, own in zip(pictures.sources, pictures.own, strict=True) if not own]
    return tuple(photos[:: max(1, len(photos) // BACKGROUNDS)][:BACKGROUNDS])
