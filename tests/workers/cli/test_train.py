"""`lookstream train embedding`: what is written, and what is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.needs import needs_torch

pytestmark = needs_torch()

from models.training.embedding import plan, train
from models.training.embedding.exam import CatalogExam, Exam, ExamQuestions
from models.training.embedding.plan import CatalogPlan, Costs, LeftOut, TrainingPlan, Work
from workers.cli import app

PLAN = TrainingPlan(
    (
        CatalogPlan("shop", 90, 150, 70, (LeftOut("kept for the exam", ("a", "b")),), None),
        CatalogPlan("other", 90, 90, 90, (), ExamQuestions(("c", "d", "e", "f"))),
    ),
    Work(views=1000, steps=100, forward=0),
    Costs(view_s=0.03, step_s=3.0),
)


class Fitted:
    """What `train_embedding` returns, with an exam that ended like this."""

    history = ()

    def __init__(self, gain: float) -> None:
        before, after = ({"i_hr_1": rate, "c_hr_1": rate} for rate in (0.5, 0.5 + gain))
        self.exam = Exam((CatalogExam("shop", 20, 40, "views", before, after, gain, 0.02),))
        self.projection = type("Projection", (), {"card": {"identities": 70}})

    def save(self, path: Path) -> None:
        path.write_text("new")


@pytest.mark.parametrize(("gain", "written"), [(0.1, True), (0.01, False), (-0.1, False)])
def test_only_what_is_better_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, gain: float, written: bool
) -> None:
    monkeypatch.setattr(plan, "plan_training", lambda *_, **__: PLAN)
    monkeypatch.setattr(train, "train_embedding", lambda *_, **__: Fitted(gain))
    path = tmp_path / "encoder.safetensors"
    path.write_text("old")
    words = ["train", "embedding", str(tmp_path), "--out", str(path), "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == (0 if written else 1)
    assert path.read_text() == ("new" if written else "old")
    report = json.loads(done.stdout)
    assert report["written"] is report["exam"]["passed"] is written
    assert report["plan"]["catalogs"][0]["left_out"][0]["products"] == ["a", "b"]
    assert report["plan"]["estimated_s"] == 330
    for line in (
        "shop: learns from 150 pictures of 70 identities",
        "no exam: too few products",
        "exam by views of 4 products (c, d, e, …)",
        "about 6 min: 30 s for 1,000 views, 5 min for 100 steps",
        f"50.0 % before, {50 + 100 * gain:.1f} % after",
    ):
        assert line in done.stderr
    assert ("--keep 0.5" in done.stderr) is not written


def test_the_help_says_what_it_is_for() -> None:
    said = " ".join(CliRunner().invoke(app, ["train", "embedding", "--help"]).stdout.split())
    assert "photos of many products" in said
    assert "lookstream adapt" in said
