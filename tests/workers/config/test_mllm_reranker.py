"""`models.reranker = "mllm:…"`: what each form stands for, and what is said where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.errors import ModelError, RerankerError
from models.hub.contents import RERANKER_HEAD
from models.reranking.chat_server import SERVER_NOTE, ChatServerComparer
from models.reranking.listwise import HEADLESS_NOTE, ListwiseReranker
from tests.needs import torch_is_there
from tests.servers.chat_server import chat_server
from workers.config.load_models import reranker_for, reranker_note
from workers.config.sections import ModelSettings
from workers.config.settings import Settings, load_settings, settings_environment
from workers.errors import SettingsError


def settings_with(reranker: str, **models: object) -> Settings:
    return Settings(models=ModelSettings.model_validate({"reranker": reranker, **models}))


def test_a_server_is_made_without_asking_it() -> None:
    with chat_server("a", "b") as server:
        settings = settings_with(f"mllm:{server.url}#b", reranker_key="secret-key")
        reranker = reranker_for(settings, "any encoder")
        assert not server.paths
        assert isinstance(reranker, ListwiseReranker)
        assert isinstance(reranker.comparer, ChatServerComparer)
        assert reranker.comparer.check() == f"b at {server.url}"
        assert server.keys == ["Bearer secret-key"]
        assert reranker.note == reranker_note(settings, "any encoder") == SERVER_NOTE
        reranker.comparer.close()


def test_its_key_comes_from_the_environment_or_a_file_and_is_never_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LOOKSTREAM_MODELS__RERANKER", "mllm:http://127.0.0.1:8000/v1")
    monkeypatch.setenv("LOOKSTREAM_MODELS__RERANKER_KEY", "secret-key")
    settings = load_settings()
    assert "secret-key" not in f"{settings!r}{settings.model_dump_json()}"
    assert "secret-key" in settings_environment(settings)["LOOKSTREAM_MODELS"]  # to child processes
    (tmp_path / "key").write_text("of-file\n")
    monkeypatch.setenv("LOOKSTREAM_MODELS__RERANKER_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(SettingsError, match="not both") as caught:
        load_settings()
    assert "secret-key" not in str(caught.value)
    monkeypatch.delenv("LOOKSTREAM_MODELS__RERANKER_KEY")
    with chat_server() as server:
        monkeypatch.setenv("LOOKSTREAM_MODELS__RERANKER", f"mllm:{server.url}")
        reranker = reranker_for(load_settings(), "any")
        assert isinstance(reranker, ListwiseReranker)
        assert isinstance(reranker.comparer, ChatServerComparer)
        reranker.comparer.check()
        assert server.keys == ["Bearer of-file"]
        reranker.comparer.close()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mllm:", r"the folder \(none\).*mllm:http://HOST:PORT/v1"),
        ("mllm:no/such/folder", "no/such/folder, which is not there"),
        ("mllm:http:///v1", "is no server"),
        ("mllm:http://me:pass@host/v1", "no password"),
    ],
)
def test_what_is_wrong_is_said(name: str, said: str) -> None:
    with pytest.raises(RerankerError, match=said):
        reranker_for(settings_with(name), "any")


def test_what_may_not_be_fetched_is_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOOKSTREAM_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"models\.offline"):
        reranker_for(settings_with("mllm:hf:some/model", offline=True), "any")


def test_the_note_of_a_folder_is_known_without_loading_it(tmp_path: Path) -> None:
    settings = settings_with(f"mllm:{tmp_path}")
    assert reranker_note(settings, "any") == HEADLESS_NOTE
    (tmp_path / RERANKER_HEAD).touch()
    assert not reranker_note(settings, "any")


@pytest.mark.skipif(not torch_is_there(), reason="needs PyTorch")
def test_the_head_has_one_name() -> None:
    from models.reranking.absolute_head import NAME

    assert NAME == RERANKER_HEAD
