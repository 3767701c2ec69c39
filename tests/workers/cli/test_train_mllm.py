"""`lookstream train reranker --mllm`, from a catalog folder to a list that it ranks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.needs import needs_torch

pytestmark = needs_torch()

from tests.doubles.tiny_mllm import tiny_qwen3_vl
from tests.models.training.reranker.test_mllm import write_catalog
from workers.cli import app


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["shop", "--lora"], "is for --mllm"),
        (["shop", "--mllm", "model", "--rate", "nan"], "between 0 and 1"),
        (["shop", "--mllm", "model", "--unknown", "other"], "--unknown is for the linear"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["train", "reranker", *options, "--out", "out"])
    assert result.exit_code == 2
    assert said in result.output


@pytest.mark.slow
def test_what_it_trains_evaluates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, model, out = write_catalog(tmp_path / "shop"), tmp_path / "tiny", tmp_path / "reranker"
    network, processor = tiny_qwen3_vl()
    network.save_pretrained(model)
    processor.save_pretrained(model)
    monkeypatch.setenv("LOOKSTREAM_DATA_DIR", str(tmp_path / "data"))
    command = ["train", "reranker", str(shop), "--mllm", str(model), "--out", str(out)]
    trained = CliRunner().invoke(app, [*command, "--epochs", "1", "--quiet", "--json"])
    assert trained.exit_code == 0, trained.output
    report = json.loads(trained.stdout.splitlines()[-1])
    assert report["held_out"]["chunks"] > 0
    assert f"LOOKSTREAM_MODELS__RERANKER=mllm:{out}" in trained.output
    again = CliRunner().invoke(app, command)
    assert again.exit_code != 0
    monkeypatch.setenv("LOOKSTREAM_MODELS__RERANKER", f"mllm:{out}")
    evaluated = CliRunner().invoke(
        app, ["evaluate", str(shop), "--split", "train", "--quiet", "--json"]
    )
    assert evaluated.exit_code == 0, evaluated.output
    rates = json.loads(evaluated.stdout.splitlines()[-1])
    assert rates["queries"] == 12
    assert not any("retrieval" in note or "calibrated" in note for note in rates["notes"])
