"""From a name to a folder, with a hub on loopback."""

import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from models.backbone.checkpoints import sha256_of
from models.errors import HubError
from models.hub.lock import LOCK, known_sha256, repo_folder
from models.hub.reasons import Reason
from models.hub.resolve import find_folder, local_folder
from tests.hub.cases import CASES, FILES, NAME, REPO, TOKEN, Case, repository
from tests.hub.check import problems
from tests.servers.model_hub import ModelHub, model_hub

pytest.importorskip("huggingface_hub", reason="needs the extra hub")


@pytest.fixture(scope="module")
def server() -> Iterator[ModelHub]:
    with model_hub() as server:
        yield server


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_fetching_ends_as_it_must(case: Case, server: ModelHub, tmp_path: Path) -> None:
    assert problems(case, server, tmp_path) == []


@pytest.fixture
def hub(server: ModelHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelHub:
    """A hub with one repository, and an empty cache of ours."""
    server.clear()
    server.repositories[REPO] = repository()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("LOOKSTREAM_CACHE", str(tmp_path))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return server


def test_those_who_come_at_once_fetch_once(hub: ModelHub) -> None:
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda _: local_folder(NAME), range(4)))
    assert folders == {find_folder(NAME)}
    assert len(hub.gets_of("model.safetensors")) == 1
    assert logging.getLogger("huggingface_hub").level < logging.CRITICAL


def test_nothing_secret_is_logged(
    hub: ModelHub, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.known.add(TOKEN)
    hub.granted.add(TOKEN)
    hub.repositories[REPO].gated = True
    before = logging.getLogger("httpx").level
    with caplog.at_level(logging.DEBUG):
        local_folder(NAME)
    assert any(one.headers.get("authorization") == f"Bearer {TOKEN}" for one in hub.asked)
    assert TOKEN not in caplog.text
    assert "signature" not in caplog.text
    assert logging.getLogger("httpx").level == before


def test_progress_is_in_kb_and_ends_whole(hub: ModelHub) -> None:
    told: list[tuple[str, int, int]] = []
    local_folder(NAME, progress=lambda *phase: told.append(phase))
    total = sum(len(FILES[name]) for name in FILES if name.endswith((".json", ".safetensors")))
    assert told[-1] == (f"fetching {NAME}, kB", total // 1000, total // 1000)
    done = [count for _, count, _ in told]
    assert done == sorted(done)


def test_a_folder_comes_back_as_it_is(tmp_path: Path) -> None:
    assert local_folder(str(tmp_path)) == tmp_path
    assert find_folder(str(tmp_path)) == tmp_path


def test_what_was_not_fetched_is_not_found(hub: ModelHub) -> None:
    assert find_folder("siglip2-base") is None
    assert find_folder(NAME) is None
    assert not hub.asked


def test_hashes_of_fetched_files_are_known(hub: ModelHub, tmp_path: Path) -> None:
    path = local_folder(NAME) / "model.safetensors"
    assert known_sha256(path) == sha256_of(path)
    os.utime(path, ns=(0, 0))
    assert known_sha256(path) is None
    (tmp_path / "other").touch()
    assert known_sha256(tmp_path / "other") is None


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b'{"repo": "other/encoder"}',
        b'{"repo": "shop/encoder", "branches": {"main": "c"}, "snapshots": {"c": {"licence": "", '
        b'"fetched": "", "files": {"../../x": {"size": 1, "sha256": "", "mtime_ns": 0}}}}}',
    ],
)
def test_a_damaged_or_forged_lock_is_told(hub: ModelHub, content: bytes) -> None:
    repo_folder(REPO).mkdir(parents=True)
    (repo_folder(REPO) / LOCK).write_bytes(content)
    with pytest.raises(HubError, match=r"lock\.json.*fetch again") as error:
        local_folder(NAME)
    assert error.value.reason == Reason.CHANGED
