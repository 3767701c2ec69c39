from pathlib import Path

import pytest

from tests.needs import needs_torch

pytestmark = needs_torch()

from PIL import Image

from models.errors import TrainingError
from models.training.embedding.loss_curve import plot_curves
from models.training.embedding.run_state import StepRecord


def test_both_stages_and_the_scores_are_drawn(tmp_path: Path) -> None:
    history = [
        StepRecord("contrast", 1, 2, 3.0, 0.1),
        StepRecord("contrast", 2, 2, 2.0, 0.1, score=0.5),
        StepRecord("identity", 1, 1, 9.0, 0.1, 0.2, score=0.6),
    ]
    plot_curves(history, tmp_path / "plots" / "run.png", title="toy")
    plot_curves(history[:1], tmp_path / "short.png")
    with (
        Image.open(tmp_path / "plots" / "run.png") as tall,
        Image.open(tmp_path / "short.png") as short,
    ):
        assert tall.height > short.height
        assert len(tall.convert("RGB").getcolors(1 << 20) or []) > 2


def test_no_history_no_curve(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no steps"):
        plot_curves([], tmp_path / "run.png")
