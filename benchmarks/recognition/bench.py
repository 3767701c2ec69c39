"""What the parts of `bench embedding` share: pictures, exams, a table and bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.recognition.ablations import Course, taught
from benchmarks.recognition.retrieval_tasks import RetrievalTask, TaskFeatures, retrieval_tasks
from models.progress import Phases
from models.synthetic.folder import write_synthetic_catalog
from models.training.embedding.dataset import TrainingConfig, TrainingData, prepare
from models.training.embedding.feature_cache import Recorded, ViewStore, make_views
from models.training.embedding.identity_tower import Tower
from models.training.embedding.run_state import Encoder
from workers.progress.tasks import Progress, Task

STUDIO = "studio"
VIEWS = (4, 2)
Rates = dict[str, dict[str, float]]
"""RetrievalTask -> hit rates, 0..1."""


@dataclass
class Bench:
    """Everything that is measured, and with what.

    Attributes:
        material: what is learned from: all catalogs and the studio, the studio last.
        exams, answers: what is asked, and its pictures through the same frozen features.
        passes: over the pictures, of every row of the table.
        tail: whether the network's tail is trained too.
        work: where views and runs are kept.
        bars: show how far it is.
        table: course -> exam -> hit rates, as they are measured.
    """

    data: TrainingData
    tasks: dict[str, RetrievalTask]
    answers: ViewStore
    passes: float
    identity_branch: bool
    work: Path
    bars: Progress
    table: dict[str, Rates] = field(default_factory=dict)

    def evaluate_task(self, encoder: Encoder) -> Rates:
        """All exams."""
        return {name: task.rates(encoder, self.answers) for name, task in self.tasks.items()}

    def teach(self, course: Course, data: TrainingData, name: str, passes: float) -> Tower:
        """Train by a course, with a bar; the run is kept under ``name``."""
        checkpoint = self.work / ("tails" if self.identity_branch else "maps") / name
        return taught(
            course,
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


def begin(
    catalogs: Sequence[Path],
    products: int,
    passes: float,
    identity_branch: bool,
    work: Path,
    bars: Progress,
) -> Bench:
    """Render a studio of so many products, cut views, set exams."""
    studio = work / STUDIO
    with bars.task("rendering") as task:
        write_synthetic_catalog(studio, products=products, photos=2, size=224, progress=task)
    folders = (*catalogs, studio)
    config = TrainingConfig(folders=folders, identity_branch=identity_branch, views=VIEWS)
    data = prepare(config, work, progress=bars.phases())
    features = TaskFeatures()
    tasks = retrieval_tasks(folders, features)
    with bars.task("encoding exams") as task:
        answers = make_views(
            work / "answers",
            features.sources,
            Recorded(data.spec, trunk=identity_branch),
            data.store.projection,
            progress=task,
        )
    return Bench(data, tasks, answers, passes, identity_branch, work, bars)
