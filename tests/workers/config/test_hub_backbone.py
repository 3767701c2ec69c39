"""An encoder of a hub, by one setting: fetched, exported, served; of real classes, made tiny."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
import pytest
from typer.testing import CliRunner

from models.errors import HubError
from models.hub.reasons import Reason
from tests.hub.cases import NAME, REPO, repository
from tests.paths import EXAMPLE
from tests.servers.model_hub import ModelHub, Repository, model_hub
from workers.cli import app
from workers.config.load_models import encoder_of, fetch_backbone, model_id_of
from workers.config.sections import ModelSettings
from workers.config.settings import Settings
from workers.deploy.doctor import examine

pytest.importorskip("huggingface_hub", reason="needs the extra hub")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelHub]:
    """A hub with a repository, and an empty cache of ours."""
    with model_hub() as hub:
        hub.repositories[REPO] = repository()
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("LOOKSTREAM_CACHE", str(tmp_path / "cache"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield hub


def settings_with(*, offline: bool = False) -> Settings:
    return Settings(models=ModelSettings(backbone=NAME, device="cpu", threads=1, offline=offline))


def test_a_worker_says_how_far_the_download_is(
    hub: ModelHub, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch_backbone(settings_with().models)
    assert f"fetching {NAME}, kB: 240" in capsys.readouterr().err
    fetch_backbone(settings_with(offline=True).models)
    assert capsys.readouterr().err == ""


def test_offline_forbids_the_download(hub: ModelHub) -> None:
    with pytest.raises(HubError, match=r"models\.offline") as error:
        model_id_of(settings_with(offline=True))
    assert error.value.reason == Reason.OFFLINE
    assert not hub.asked


def test_the_doctor_fetches_nothing(hub: ModelHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKSTREAM_MODELS__BACKBONE", NAME)
    monkeypatch.setenv("LOOKSTREAM_KAFKA__BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.setenv("LOOKSTREAM_MILVUS__URI", "http://127.0.0.1:1")
    (weights,) = (one for one in examine() if one.what == "weights")
    assert not weights.good
    assert weights.remedy == f"lookstream models fetch {NAME}"
    assert not hub.asked


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize("kind", ["siglip", "clip", "dinov3", "timm", "open_clip"])
def test_a_real_class_is_served_by_its_name(hub: ModelHub, tmp_path: Path, kind: str) -> None:
    from tests.doubles.tiny_towers import TWO_TOWERS, seeded

    folder = seeded(kind, tmp_path / "made")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    hub.repositories[REPO] = Repository(files)
    encoder = encoder_of(settings_with())
    assert encoder.model_id.startswith("encoder-")
    assert encoder.model_id == model_id_of(settings_with(offline=True))
    picture = np.random.default_rng(0).integers(0, 255, (90, 70, 3), np.uint8)
    (item,) = encoder.encode_items([picture], ["a red mug"])
    assert item.vector.shape == (encoder.dim,)
    assert np.isfinite(item.vector).all()
    if kind in (*TWO_TOWERS, "open_clip"):
        (query,) = encoder.encode_queries([None], ["a red mug"])
        assert np.linalg.norm(query.vector) == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
@pytest.mark.torch
def test_what_was_exported_serves_without_torch_or_a_hub(hub: ModelHub, tmp_path: Path) -> None:
    from tests.doubles.tiny_towers import seeded

    folder = seeded("siglip", tmp_path / "made")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    hub.repositories[REPO] = Repository(files)
    wanted = encoder_of(settings_with()).model_id
    asked = len(hub.asked)
    code = f"""
import sys
for name in ("torch", "transformers", "timm", "huggingface_hub"):
    sys.modules[name] = None
from workers.config.load_models import encoder_of
from workers.config.sections import ModelSettings
from workers.config.settings import Settings
print(encoder_of(Settings(models=ModelSettings(backbone={NAME!r}, device="cpu"))).model_id)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == wanted
    assert len(hub.asked) == asked


@pytest.mark.slow
@pytest.mark.torch
def test_random_weights_are_not_advised(hub: ModelHub, tmp_path: Path) -> None:
    from tests.doubles.tiny_towers import seeded

    folder = seeded("siglip", tmp_path / "made")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    hub.repositories[REPO] = Repository(files)
    command = ["models", "try", NAME, str(EXAMPLE), "--most", "40", "--json"]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    report = orjson.loads(result.stdout.splitlines()[-1])
    assert report["candidate_id"].startswith("encoder-")
    assert report["use"] is False
    assert "worse" in report["advice"]
