"""The shared state of `bench embedding`: training data, retrieval tasks, the table of results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.recognition.ablations import Variant, train_variant
from benchmarks.recognition.retrieval_tasks import RetrievalTask, TaskPictures, retrieval_tasks
from models.progress import Phases
from models.synthetic.folder import write_synthetic_catalog
from models.training.embedding.dataset import TrainingConfig, TrainingData, prepare_training_data
from models.training.embedding.feature_cache import CacheSettings, FeatureCache, build_cache
from models.training.embedding.identity_tower import IdentityTower
from models.training.embedding.run_state import TrainableEncoder
from workers.progress.tasks import Progress, Task

SYNTHETIC = "studio"
VIEWS = (4, 2)
Rates = dict[str, dict[str, float]]
"""Retrieval task -> hit rates, 0..1."""


@dataclass
class Bench:
    """Training data, retrieval tasks and results.

    Attributes:
        data: of all catalogs, the synthetic one last.
        tasks, task_views: retrieval tasks, and their pictures with the same frozen features.
        passes: over the pictures, of every variant.
        identity_branch: whether the last stages of the network are trained too.
        work: folder of views and training runs.
        bars: progress.
        table: variant -> retrieval task -> hit rates.
    """

    data: TrainingData
    tasks: dict[str, RetrievalTask]
    task_views: FeatureCache
    passes: float
    identity_branch: bool
    work: Path
    bars: Progress
    table: dict[str, Rates] = field(default_factory=dict)

    def evaluate(self, encoder: TrainableEncoder) -> Rates:
        """Hit rates of all retrieval tasks."""
        return {name: task.rates(encoder, self.task_views) for name, task in self.tasks.items()}

    def train(
        self, variant: Variant, data: TrainingData, name: str, passes: float
    ) -> IdentityTower:
        """Train a variant, with a progress bar; the run is kept under ``name``."""
        checkpoint = self.work / ("branches" if self.identity_branch else "maps") / name
        return train_variant(
            variant,
            data,
            passes,
            checkpoint,
            self.phases(name),
            identity_branch=self.identity_branch,
        )

    def phases(self, of: str) -> Phases:
        """The phases of one piece of work, each under its name."""
        show = self.bars.phases()
        return lambda what, done, total: show(f"{of}: {what}", done, total)

    def step(self, what: str) -> Task:
        """One piece of work."""
        return self.bars.task(what)


def prepare_bench(
    catalogs: Sequence[Path],
    products: int,
    passes: float,
    identity_branch: bool,
    work: Path,
    bars: Progress,
) -> Bench:
    """Render a synthetic catalog, make views, and set up the retrieval tasks."""
    synthetic = work / SYNTHETIC
    with bars.task("rendering") as task:
        write_synthetic_catalog(synthetic, products=products, photos=2, size=224, progress=task)
    folders = (*catalogs, synthetic)
    config = TrainingConfig(
        folders=folders, examined=False, identity_branch=identity_branch, views=VIEWS
    )
    data = prepare_training_data(config, work, progress=bars.phases())
    pictures = TaskPictures()
    tasks = retrieval_tasks(folders, pictures)
    with bars.task("encoding retrieval tasks") as task:
        task_views = build_cache(
            work / "tasks",
            pictures.sources,
            CacheSettings(data.spec, trunk=identity_branch),
            data.cache.projection,
            progress=task,
        )
    return Bench(data, tasks, task_views, passes, identity_branch, work, bars)
