"""Training data: catalogs, cached features of views, and retrieval tasks for validation.

Prepared once and kept in a folder, so that a resumed run, or another recipe on the same pictures,
starts at once.
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
from models.training.embedding.exam import (
    VALIDATION_SPLIT,
    ExamQuestions,
    ExamTask,
    draw_exams,
    exam_task,
)
from models.training.embedding.feature_cache import CacheSettings, FeatureCache, Source, build_cache
from models.training.embedding.pca_init import fit_projection
from models.training.embedding.samples import DEFAULT_VIEWS, TrainingPictures, collect_pictures
from models.training.embedding.validation import RetrievalTask, collect_tasks, documents

MAX_BACKGROUNDS = 96
MAX_PCA_PICTURES = 1500
"""Of each folder, for principal axes."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The training data, and for how long to train on it.

    Attributes:
        folders: catalog folders.
        examined: whether an exam tells if the result is better (`models.training.embedding.exam`).
        backbone: as in `models.backbone.spec.named_backbone`.
        start: the encoder's file to fine-tune; None starts from principal axes.
        split: photos of this split are trained on; those of "val" select the model.
        limit: at most about so many pictures per folder.
        clusters: what `lookstream curate` wrote for each folder; without any, the folders' own ids
            are the labels.
        contrast_passes, passes: over all pictures, of stage 1 and of stage 3; with 0 of both,
            nothing is trained.
        identity_branch: whether the last stages of the network are trained too, or the maps alone.
        views: of a packshot and of a photo, the unaugmented one among them.
        keep: share of the initial weights in the result, 0..1, which preserves quality on pictures
            unlike these (Wortsman et al. 2022, WiSE-FT).
        seed: of views, order and initial weights.
    """

    folders: tuple[Path, ...]
    examined: bool = True
    backbone: str = "lite2"
    start: Path | None = None
    split: str = "train"
    limit: int | None = None
    clusters: tuple[Path, ...] = ()
    contrast_passes: float = 1.0
    passes: float = 12.0
    identity_branch: bool = True
    views: tuple[int, int] = DEFAULT_VIEWS
    keep: float = 0.0
    seed: int = 0

    @property
    def command(self) -> str:
        """The command that trains the same."""
        words = ["lookstream train embedding", *(folder.name for folder in self.folders)]
        words += [f"--backbone {self.backbone} --split {self.split} --seed {self.seed}"]
        words += [f"--contrast-passes {self.contrast_passes:g} --passes {self.passes:g}"]
        words += [] if self.limit is None else [f"--limit {self.limit}"]
        words += [] if self.identity_branch else ["--no-identity-branch"]
        words += ["--views {} {}".format(*self.views)] if self.views != DEFAULT_VIEWS else []
        words += [f"--keep {self.keep:g}"] if self.keep else []
        words += [f"--clusters {path.name}" for path in self.clusters]
        return " ".join([*words, "--afresh" if self.start is None else "--start FILE"])


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Everything that a training run reads.

    Attributes:
        spec: the backbone.
        base: the encoder's file that training starts from.
        catalogs: the folders.
        pictures, cache: what is trained on, and the features of its views.
        tasks, task_cache: retrieval tasks that select the model, and the features of their
            pictures; none without photos of the split "val" that show a known product.
        exams: the questions to each catalog, all None where nothing is examined.
        exam_tasks, exam_cache: retrieval tasks of those that are asked, and their pictures.
    """

    spec: BackboneSpec
    base: Path
    catalogs: tuple[Catalog, ...]
    pictures: TrainingPictures
    cache: FeatureCache
    tasks: tuple[RetrievalTask, ...]
    task_cache: FeatureCache | None
    exams: tuple[ExamQuestions | None, ...]
    exam_tasks: tuple[ExamTask, ...]
    exam_cache: FeatureCache | None


@dataclass(frozen=True, eq=False)
class TrainingSources:
    """What a run reads, before a picture is opened.

    Attributes:
        catalogs: the folders.
        exams: the questions to each catalog.
        pictures: what is trained on.
        sources, tasks: the pictures that select the model, and their retrieval tasks.
        exam_sources, exam_tasks: those of the exam.
    """

    catalogs: tuple[Catalog, ...]
    exams: tuple[ExamQuestions | None, ...]
    pictures: TrainingPictures
    sources: tuple[Source, ...]
    tasks: tuple[RetrievalTask, ...]
    exam_sources: tuple[Source, ...]
    exam_tasks: tuple[ExamTask, ...]


def collect_sources(config: TrainingConfig) -> TrainingSources:
    """Read the folders and decide what is learned from, and what asked.

    Raises:
        CatalogError: a folder cannot be read.
        CurationError: a file of clusters cannot be read.
        TrainingError: too few identities, or too few products for an exam.
    """
    catalogs = tuple(read_catalog(folder) for folder in config.folders)
    exams: list[ExamQuestions | None] = [None] * len(catalogs)
    if config.examined:
        exams = draw_exams(catalogs, config.split, limit=config.limit, seed=config.seed)
    curated = [
        {key: label for key, (label, _) in read_clusters(path).items()} for path in config.clusters
    ]
    pictures = collect_pictures(
        catalogs,
        config.split,
        config.limit,
        curated,
        views=config.views,
        held_out=[one.held_out if one else () for one in exams],
    )
    sources, tasks = collect_tasks(
        catalogs, VALIDATION_SPLIT, without=[one.products if one else () for one in exams]
    )
    exam_sources: list[Source] = []
    exam_tasks = []
    for catalog, questions in zip(catalogs, exams, strict=True):
        if questions is not None:
            rows = sum(source.views for source in exam_sources)
            found, task = exam_task(catalog, questions, rows)
            exam_sources += found
            exam_tasks.append(task)
    return TrainingSources(
        catalogs,
        tuple(exams),
        pictures,
        tuple(sources),
        tuple(tasks),
        tuple(exam_sources),
        tuple(exam_tasks),
    )


def prepare_training_data(
    config: TrainingConfig,
    work: Path,
    *,
    processes: int = 2,
    progress: Phases = no_phases,
) -> TrainingData:
    """Prepare the data in the folder ``work``, as far as it is not there yet.

    Raises:
        CatalogError, PictureError: a folder or a picture cannot be read.
        CurationError: a file of clusters cannot be read.
        ProjectionError: too few pictures for principal axes.
        TrainingError: too few identities, or too few products for an exam.
    """
    found = collect_sources(config)
    base = config.start or initial_projection(config, work, progress)
    spec = named_backbone(config.backbone)
    layout = load_backbone(spec, threads=1).layout
    projection = load_projection(base, layout.widths)
    settings = CacheSettings(
        spec,
        background_photos(found.pictures),
        config.seed,
        trunk=config.identity_branch or has_identity_branch(base),
    )

    def cache(
        name: str, sources: Sequence[Source], settings: CacheSettings = settings
    ) -> FeatureCache:
        return build_cache(
            work / name,
            sources,
            settings,
            projection,
            processes=processes,
            progress=of_phase(progress, f"encoding {name}"),
        )

    for_exam = replace(settings, backgrounds=main_pictures(found.catalogs), catalog_views=True)
    return TrainingData(
        spec,
        base,
        found.catalogs,
        found.pictures,
        cache("views", found.pictures.sources),
        found.tasks,
        cache("validation", found.sources) if found.sources else None,
        found.exams,
        found.exam_tasks,
        cache("exam", found.exam_sources, for_exam) if found.exam_sources else None,
    )


def initial_projection(config: TrainingConfig, work: Path, progress: Phases) -> Path:
    """The file of an untrained encoder, fitted on the training pictures."""
    path = work / "axes.safetensors"
    if not path.is_file():
        fitted = fit_projection(
            config.folders,
            backbone=config.backbone,
            split=config.split,
            limit=min(MAX_PCA_PICTURES, config.limit or MAX_PCA_PICTURES),
            seed=config.seed,
            progress=of_phase(progress, "fitting principal axes"),
        )
        card = {"command": config.command, **fitted.card}
        save_projection(replace(fitted, card=card), path)
    return path


def background_photos(pictures: TrainingPictures) -> tuple[str, ...]:
    """Photos to paste segmented products on."""
    photos = [
        one.path for one, own in zip(pictures.sources, pictures.is_packshot, strict=True) if not own
    ]
    return tuple(photos[:: max(1, len(photos) // MAX_BACKGROUNDS)][:MAX_BACKGROUNDS])


def main_pictures(catalogs: Sequence[Catalog]) -> tuple[str, ...]:
    """Pictures to paste the products of an exam's views on."""
    paths = [one.locate(each.image or "") for one in catalogs for each in documents(one)]
    return tuple(paths[:: max(1, len(paths) // MAX_BACKGROUNDS)][:MAX_BACKGROUNDS])
