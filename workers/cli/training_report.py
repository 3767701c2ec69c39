"""What `lookstream train embedding` says before it starts and when it ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.training.embedding.exam import Exam, ExamQuestions
    from models.training.embedding.plan import CatalogPlan, TrainingPlan

FIRST = 3
"""Ids that are named; `--json` has them all."""


def plan_lines(plan: TrainingPlan, folder: Path) -> Iterator[str]:
    """What a run learns from, leaves out and asks, and how long it takes.

    ``folder`` is where views and checkpoints are kept.
    """
    for one in plan.catalogs:
        yield from _catalog_lines(one)
    views, training = plan.costs.seconds(plan.work)
    resumed = f", less what an earlier run left in {folder}" if folder.is_dir() else ""
    yield (
        f"about {_span(views + training)}: {_span(views)} for {plan.work.views:,} views, "
        f"{_span(training)} for {plan.work.steps:,} steps{resumed}"
    )


def exam_lines(exam: Exam) -> Iterator[str]:
    """Before and after, in per cent."""
    for one in exam.catalogs:
        yield f"exam of {one.catalog}: {one.queries:,} {one.queries_are} of {one.products} products"
        for key, found in (("i_hr_1", "its product"), ("c_hr_1", "its kind")):
            yield f"  {found} first: {_percent(one.before[key])} before, " + (
                f"{_percent(one.after[key])} after"
            )
        yield f"  both together: {_change(one.gain, one.error)}"
    if len(exam.catalogs) > 1:
        yield f"all catalogs: {_change(exam.gain, exam.error)}"


def failure(to: Path) -> str:
    """What to do where the exam was not passed."""
    return (
        f"{to} is not written: the new encoder is not better than the one it started from by more "
        "than the error of the exam. Views and training are kept: the same command with --keep 0.5 "
        "tries a mean of both encoders and does not train again. Photos of more products help "
        '("split": "train" in photos.jsonl), and photos of the split "val" make the exam more '
        "certain. To fit search to one catalog without another encoder: `lookstream adapt`"
    )


def _catalog_lines(one: CatalogPlan) -> Iterator[str]:
    yield (
        f"{one.catalog}: learns from {one.pictures:,} pictures of {one.identities:,} identities; "
        f"the catalog has {one.products:,} products"
    )
    for left in one.left_out:
        yield f"  left out, {left.reason}: {_some(left.products)}"
    yield f"  {_exam_line(one.exam)}"


def _exam_line(exam: ExamQuestions | None) -> str:
    if exam is None:
        return "no exam: too few products with pictures in files; the other folders decide"
    if exam.photos:
        return (
            f'exam by {len(exam.photos):,} photos of the split "val", of {_some(exam.products)}; '
            "those of other products select the model"
        )
    return (
        f"exam by views of {_some(exam.products)}. Photos of the split "
        '"val" would tell more: views are easier'
    )


def _some(products: Sequence[str]) -> str:
    named = ", ".join(products[:FIRST])
    count = f"{len(products):,} product{'s' if len(products) > 1 else ''}"
    return f"{count} ({named}{', …' if len(products) > FIRST else ''})"


def _change(gain: float, error: float) -> str:
    return f"{100 * gain:+.1f} points, error {100 * error:.1f}"


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f} %"


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
