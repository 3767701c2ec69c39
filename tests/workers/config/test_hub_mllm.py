"""A vision-language model of a hub, by one setting; of the real class, made tiny."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from typer.testing import CliRunner

from tests.hub.cases import NAME, REPO
from tests.needs import needs_torch
from tests.paths import EXAMPLE
from tests.servers.model_hub import ModelHub, Repository, model_hub
from tests.workers.jobs.test_replay import events, ingest_live, lookstream, publish, settings
from workers.catalog_index import open_catalog
from workers.cli import app
from workers.config.chosen_encoder import models_of
from workers.config.load_models import encoder_of, model_id_of
from workers.config.sections import ModelSettings
from workers.config.settings import Settings, load_settings
from workers.deploy.doctor import examine

__all__ = ["settings"]

pytest.importorskip("huggingface_hub", reason="needs the extra hub")
pytestmark = [needs_torch(), pytest.mark.slow]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelHub]:
    """A hub that has a model like Qwen3-VL-Embedding, and an empty cache of ours."""
    from tests.doubles.tiny_mllm import tiny_qwen3_vl_embedding

    folder = tiny_qwen3_vl_embedding(tmp_path / "made")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    with model_hub() as hub:
        hub.repositories[REPO] = Repository({**files, "pytorch_model.bin": b"\x80\x04a pickle"})
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("LOOKSTREAM_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("LOOKSTREAM_MODELS__DEVICE", "cpu")
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield hub


def settings_with(*, offline: bool = False) -> Settings:
    return Settings(models=ModelSettings(backbone=NAME, device="cpu", threads=1, offline=offline))


def test_it_is_fetched_and_encodes_pictures_and_words(hub: ModelHub, tmp_path: Path) -> None:
    encoder = encoder_of(settings_with())
    assert encoder.model_id.startswith("encoder-minilm-32-")
    assert encoder.model_id == model_id_of(settings_with(offline=True))
    picture = np.random.default_rng(0).integers(0, 255, (90, 70, 3), np.uint8)
    (item,) = encoder.encode_items([picture], ["a red mug"])
    (query,) = encoder.encode_queries([None], ["a red mug"])
    assert item.vector.shape == query.vector.shape == (encoder.dim,)
    assert item.juice.has_picture
    fetched = {path.name for path in (tmp_path / "cache" / "hub").rglob("*") if path.is_file()}
    assert {"model.safetensors", "chat_template.jinja", "tokenizer.json"} <= fetched
    assert "pytorch_model.bin" not in fetched
    report = _run("models", "list")
    (listed,) = (one for one in report["encoders"] if one["name"] == f"{NAME}@main")
    assert (listed["licence"], listed["trust"], listed["here"]) == ("apache-2.0", "first use", True)


def test_random_weights_are_not_advised(hub: ModelHub) -> None:
    report = _run("models", "try", NAME, str(EXAMPLE), "--most", "20")
    assert report["candidate_id"].startswith("encoder-minilm-32-")
    assert report["use"] is False


def test_a_running_shop_is_given_it(
    hub: ModelHub, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(settings, *events())
    asyncio.run(ingest_live(settings))
    monkeypatch.setattr("workers.config.load_models.encoder_of", encoder_of)
    done = lookstream("reindex", "--backbone", NAME)
    assert done["promoted"], done
    now = load_settings()
    assert models_of(now).backbone == NAME
    with open_catalog(now)[0] as collection:
        assert collection.bank.model_id == done["model_id"] == model_id_of(now)
    (found,) = (one for one in examine() if one.what == "index")
    assert found.good, found.state
    assert "words find pictures" in found.state


def _run(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    report: dict[str, Any] = orjson.loads(result.stdout.splitlines()[-1])
    return report
