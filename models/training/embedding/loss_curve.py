"""A plot of loss and validation score over the steps of a run."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from models.errors import TrainingError
from models.training.embedding.run_state import StepRecord


def plot_curves(history: Sequence[StepRecord], path: Path, *, title: str = "") -> None:
    """Write a PNG: loss above, validation score below where there is one, stages side by side.

    Raises:
        TrainingError: the history is empty.
    """
    # matplotlib takes a second to import, and most commands draw nothing.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    if not history:
        raise TrainingError("the run has no steps yet: there is no curve to draw")
    scored = [(at, one.score) for at, one in enumerate(history, 1) if one.score is not None]
    figure = Figure(figsize=(8, 6 if scored else 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(2 if scored else 1, 1, sharex=True, squeeze=False)
    panels = [row[0] for row in grid]
    for stage in dict.fromkeys(one.stage for one in history):
        steps = [at for at, one in enumerate(history, 1) if one.stage == stage]
        losses = [one.loss for one in history if one.stage == stage]
        panels[0].plot(steps, losses, linewidth=0.8, label=stage)
    panels[0].set_ylabel("loss")
    panels[0].legend(frameon=False)
    if scored:
        panels[1].plot(*zip(*scored, strict=True), marker=".", color="tab:green")
        panels[1].set_ylabel("validation")
    changes = [at for at, (one, two) in enumerate(pairwise(history), 1) if one.stage != two.stage]
    for panel in panels:
        panel.grid(alpha=0.3)
        for change in changes:
            panel.axvline(change + 0.5, color="grey", linestyle=":")
    panels[-1].set_xlabel("step")
    figure.suptitle(title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
