"""What the doctor says of the reranker, and of how a catalog's parts are weighed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from index.prototypes.kmeans import build
from index.prototypes.registry import BankRegistry
from models.embedding.adapt import Exam
from models.embedding.adaptation import Adaptation
from models.embedding.layout import PartWeights
from models.embedding.part_weights import Weighed
from models.embedding.query_map import QueryMap
from models.errors import RerankerError
from models.reranking.catalog_shift import CatalogShift
from tests.servers.chat_server import chat_server
from workers.cli import app
from workers.config.settings import Settings
from workers.deploy.doctor import _adapted, _calibrated, _mllm_reranker, _parts, _reranker_note
from workers.evidence.adapted import AdaptedFile
from workers.evidence.calibrated import CalibratedFile, Calibration
from workers.evidence.fitted import FittedFile, FittedWeights


def test_a_reranker_of_another_encoder_is_said() -> None:
    assert _reranker_note(Settings()) == ""
    shorter = _reranker_note(Settings.model_validate({"models": {"dim": 128}}))
    assert "vectors of another length" in shorter
    other = _reranker_note(Settings.model_validate({"models": {"backbone": "lite0"}}))
    assert other == ""


def test_part_weights_are_shown_with_what_speaks_for_them(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    bank = build(np.eye(4, dtype=np.float32), "m")
    registry = BankRegistry(tmp_path)
    registry.put(bank)
    registry.make_current(bank.version)
    assert _parts(settings).state == "weighed as in other catalogs until 50 pictures are there"
    off = settings.ingest.model_copy(update={"weigh_parts": False})
    assert "ingest.weigh_parts is off" in _parts(settings.model_copy(update={"ingest": off})).state
    weighed = Weighed(PartWeights(0.2, 0.3, 0.5), 60, 240, 0.8, 0.5, 0.6, 0.5)
    fitted = FittedWeights.of(weighed, "m", of_items=60)
    FittedFile(settings, "m").write(fitted)
    shown = _parts(settings)
    assert shown.good
    assert shown.state == fitted.summary


def test_a_calibration_is_shown_with_what_speaks_for_it(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    bank = build(np.eye(4, dtype=np.float32), "m")
    registry = BankRegistry(tmp_path)
    registry.put(bank)
    registry.make_current(bank.version)
    assert _calibrated(settings) is None
    found = Calibration(
        model_id="m",
        reranker="r",
        weights_version="w",
        shift=CatalogShift(instance=-0.4, none=0.1),
        pictures=60,
        products=30,
        brier=0.1,
        prior_brier=0.2,
    )
    CalibratedFile(settings, "m").write(found)
    shown = _calibrated(settings)
    assert shown
    assert shown.good
    assert "log odds -0.40" in shown.state
    assert "60 pictures of 30 products" in shown.state


def test_an_adaptation_is_shown_with_its_exam_and_what_is_wrong_with_it(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    bank = build(np.eye(4, dtype=np.float32), "m")
    registry = BankRegistry(tmp_path)
    registry.put(bank)
    registry.make_current(bank.version)
    assert _adapted(settings) is None
    weights = PartWeights(query_map=QueryMap(np.eye(3, dtype=np.float32), np.ones(3, np.float32)))
    exam = Exam(30, 120, 0.5, 0.75, 0.6, 0.8, 0.45, 0.05, -0.2, 0.1)
    adaptation = Adaptation("m", weights, "", exam, 200, 1_700_000_000)
    file = AdaptedFile(settings, "m")
    file.write(adaptation)
    shown = _adapted(settings)
    assert shown is not None
    assert (shown.good, shown.state, shown.remedy) == (True, adaptation.summary, "")
    assert "self@1 50.0% → 75.0%" in shown.state
    weighed = Weighed(PartWeights(0.2, 0.3, 0.5), 60, 240, 0.8, 0.5, 0.6, 0.5)
    FittedFile(settings, "m").write(FittedWeights.of(weighed, "m", of_items=60))
    shown = _adapted(settings)
    assert shown is not None
    assert "weighed again since" in shown.state
    assert "lookstream adapt --undo" in shown.remedy
    file.write(replace(adaptation, model_id="other"))
    shown = _adapted(settings)
    assert shown is not None
    assert "other" in shown.state
    assert "lookstream adapt" in shown.remedy
    file.path.write_bytes(b"no map")
    shown = _adapted(settings)
    assert shown is not None
    assert not shown.good


@pytest.mark.slow
def test_it_is_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKSTREAM_MODELS__DIM", "64")
    monkeypatch.setenv("LOOKSTREAM_KAFKA__BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.setenv("LOOKSTREAM_MILVUS__URI", "http://127.0.0.1:1")
    output = CliRunner().invoke(app, ["doctor"]).output
    assert "✓ reranker: reranker-lite2.json was fitted on vectors of another length" in output


def test_a_reranker_on_a_server_is_asked_whether_it_is_there() -> None:
    with chat_server("qwen3-vl") as server:
        good, wrong = (
            Settings.model_validate({"models": {"reranker": f"mllm:{server.url}{name}"}})
            for name in ("", "#another")
        )
        found = _mllm_reranker(good)
        assert found.startswith(f"qwen3-vl at {server.url}; ")
        assert "not calibrated" in found
        with pytest.raises(RerankerError, match=r"no model 'another'.*it has qwen3-vl"):
            _mllm_reranker(wrong)
    with pytest.raises(RerankerError, match=r"does not answer.*start it"):
        _mllm_reranker(good)
