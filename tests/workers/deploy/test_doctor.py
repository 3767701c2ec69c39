"""What the doctor says of the reranker."""

import pytest
from typer.testing import CliRunner

from workers.cli import app
from workers.config.settings import Settings
from workers.deploy.doctor import _reranker_note


def test_a_reranker_of_another_encoder_is_said() -> None:
    assert _reranker_note(Settings()) == ""
    shorter = _reranker_note(Settings.model_validate({"models": {"dim": 128}}))
    assert "vectors of another length" in shorter
    other = _reranker_note(Settings.model_validate({"models": {"backbone": "lite0"}}))
    assert other == ""


@pytest.mark.slow
def test_it_is_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKSTREAM_MODELS__DIM", "64")
    monkeypatch.setenv("LOOKSTREAM_KAFKA__BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.setenv("LOOKSTREAM_MILVUS__URI", "http://127.0.0.1:1")
    output = CliRunner().invoke(app, ["doctor"]).output
    assert "✓ reranker: reranker-lite2.json was fitted on vectors of another length" in output
