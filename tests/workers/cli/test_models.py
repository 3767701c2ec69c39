"""`lookstream models`: list and fetch."""

from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from models.backbone.spec import BACKBONES
from models.errors import HubError
from models.hub.presets import PRESETS
from models.hub.reasons import Reason
from tests.hub.cases import NAME, REPO, WEIGHTS, repository
from tests.servers.model_hub import ModelHub, model_hub
from workers.cli import app


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """A hub with one repository, and an empty cache of ours."""
    pytest.importorskip("huggingface_hub", reason="needs the extra hub")
    with model_hub() as hub:
        hub.repositories[REPO] = repository()
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("LOOKSTREAM_CACHE", str(tmp_path))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield hub


def run(*arguments: str) -> tuple[list[str], dict[str, object]]:
    """The lines of a command that succeeds, and its JSON."""
    result = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stderr.splitlines(), orjson.loads(result.stdout.splitlines()[-1])


def test_fetch_says_where_it_is_and_how_far_it_was(hub: ModelHub, tmp_path: Path) -> None:
    lines, report = run("models", "fetch", NAME)
    folder = tmp_path / "hub" / "shop--encoder" / hub.repositories[REPO].commit / "encoder"
    assert report["folder"] == str(folder)
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert any(line.startswith(f"fetching {NAME}, kB: 240 in") for line in lines)
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    ]


def test_list_names_what_is_packaged_known_and_fetched(hub: ModelHub) -> None:
    run("models", "fetch", NAME)
    _, report = run("models", "list")
    entries = {one["name"]: one for one in report["encoders"]}  # type: ignore[attr-defined]
    assert set(entries) == {*BACKBONES, *PRESETS, f"{NAME}@main"}
    fetched = entries[f"{NAME}@main"]
    assert (fetched["trust"], fetched["here"]) == ("first use", True)
    assert fetched["revision"] == hub.repositories[REPO].commit
    assert not entries["siglip2-base"]["here"]
    assert entries["dinov3-small"]["gated"]


def test_list_has_a_line_for_each(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOOKSTREAM_CACHE", str(tmp_path))
    shown = CliRunner().invoke(app, ["models", "list"], catch_exceptions=False).stdout.splitlines()
    assert {*BACKBONES, *PRESETS} <= {line.split()[0] for line in shown}


def test_the_setting_offline_forbids_to_fetch(
    hub: ModelHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOKSTREAM_MODELS__OFFLINE", "true")
    with pytest.raises(HubError, match=r"models\.offline forbids") as error:
        CliRunner().invoke(app, ["models", "fetch", NAME], catch_exceptions=False)
    assert error.value.reason == Reason.OFFLINE
    assert not hub.asked


def test_without_the_extra_the_error_names_it(
    hub: ModelHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.hub.resolve.find_spec", lambda name: None)
    with pytest.raises(HubError, match=r"lookstream\[hub\]"):
        CliRunner().invoke(app, ["models", "fetch", NAME], catch_exceptions=False)
