"""Before anything starts: who is in the way is named, with the setting to change."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stream.embedded_broker import EmbeddedBroker, claim_port
from workers.config.settings import Settings
from workers.deploy import supervisor
from workers.deploy.port_holder import port_holder
from workers.deploy.preflight import check_data_dir, check_setup, check_worker
from workers.deploy.run_lock import RunLock
from workers.deploy.supervisor import WORKERS, Stack
from workers.deploy.telemetry import serve_metrics
from workers.errors import StackError

LISTEN = """
import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listening", flush=True)
sys.stdin.read()
"""


@contextmanager
def another_program(script: str, *arguments: str) -> Iterator[int]:
    """A process of another program that has begun; its id."""
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


PORT_KEYS = {"web": "port"}


@pytest.fixture
def free(tmp_path: Path) -> Settings:
    """Settings with ports of their own."""
    return with_ports(tmp_path)


def with_ports(folder: Path, **changed: Any) -> Settings:
    sections = {
        "kafka": {"bootstrap": f"embedded://127.0.0.1:{claim_port()}"},
        "milvus": {"uri": f"embedded://127.0.0.1:{claim_port()}"},
        **{worker: {PORT_KEYS.get(worker, "metrics_port"): claim_port()} for worker in WORKERS},
    }
    return Settings.model_validate({"data_dir": folder, **sections, **changed})


SETTINGS = [
    "kafka.bootstrap",
    "milvus.uri",
    *(f"{worker}.{PORT_KEYS.get(worker, 'metrics_port')}" for worker in WORKERS),
]


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_port_that_is_taken_is_named_with_its_setting_and_holder(
    setting: str, tmp_path: Path
) -> None:
    port = claim_port()
    section, key = setting.split(".")
    value = port if section in WORKERS else f"embedded://127.0.0.1:{port}"
    settings = with_ports(tmp_path, **{section: {key: value}})
    with another_program(LISTEN, str(port)) as pid, pytest.raises(StackError) as taken:
        check_setup(settings, WORKERS)
    sentence = str(taken.value)
    assert f"{setting} (port {port}) is taken by process {pid} (" in sentence
    assert f"LOOKSTREAM_{section.upper()}__{key.upper()}" in sentence
    assert sentence.count("\n") == 0
    check_setup(settings, WORKERS)


def test_everything_in_the_way_is_named_at_once(free: Settings) -> None:
    ports = [free.ingest.metrics_port, free.query.metrics_port]
    with socket.create_server(("127.0.0.1", ports[0])), socket.create_server(("", ports[1])):
        with pytest.raises(StackError) as taken:
            check_setup(free, WORKERS)
        check_setup(free, ["feedback"])
    first, second = str(taken.value).splitlines()
    assert first.startswith("ingest.metrics_port")
    assert second.startswith("query.metrics_port")
    assert f"process {os.getpid()}" in first


def test_two_settings_with_one_port(tmp_path: Path) -> None:
    port = claim_port()
    settings = with_ports(tmp_path, ingest={"metrics_port": port}, query={"metrics_port": port})
    with pytest.raises(StackError, match=r"ingest\.metrics_port and query\.metrics_port"):
        check_setup(settings, WORKERS)
    none = with_ports(tmp_path, ingest={"metrics_port": 0}, query={"metrics_port": 0})
    check_setup(none, WORKERS)


@pytest.mark.parametrize("address", ["embedded://127.0.0.1", "embedded://127.0.0.1:99999"])
def test_an_embedded_address_without_a_port(address: str, tmp_path: Path) -> None:
    settings = with_ports(tmp_path, kafka={"bootstrap": address})
    with pytest.raises(StackError, match=r"kafka\.bootstrap is .* write it like embedded://"):
        check_setup(settings, WORKERS)


def test_a_broker_and_a_milvus_elsewhere_need_no_port_here(tmp_path: Path) -> None:
    with EmbeddedBroker() as broker:
        settings = with_ports(
            tmp_path,
            kafka={"bootstrap": broker.bootstrap},
            milvus={"uri": f"http://{broker.bootstrap}"},
        )
        check_setup(settings, WORKERS)


def test_the_holder_where_nothing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert f"process {os.getpid()} (" in port_holder(port)
        monkeypatch.setattr("workers.deploy.port_holder.PROC", tmp_path)
        assert port_holder(port) == "another program"


def test_a_data_dir_that_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for folder in (file, file / "below"):
        with pytest.raises(StackError, match=r"data_dir: .*file is a file: set data_dir"):
            check_data_dir(folder)


def test_a_data_dir_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(StackError, match=r"cannot write in .*: Permission denied: set data_dir"):
        check_data_dir(tmp_path / "new")


def test_a_second_one_in_the_folder_learns_who_is_there(tmp_path: Path) -> None:
    first, second = RunLock(tmp_path), RunLock(tmp_path)
    first.acquire()
    with pytest.raises(StackError, match=rf"runs in .* already: process {os.getpid()} \("):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from workers.deploy.run_lock import RunLock\n"
        f"lock = RunLock(Path({str(tmp_path)!r})); lock.acquire()\n"
        "print('locked', flush=True); sys.stdin.read()"
    )
    with another_program(script) as pid, pytest.raises(StackError, match=f"process {pid}"):
        RunLock(tmp_path).acquire()
    lock = RunLock(tmp_path)
    lock.acquire()
    lock.release()


def test_nothing_starts_before_the_checks(free: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    monkeypatch.setattr(supervisor, "spawn", lambda *argv, **_: started.append(argv))
    monkeypatch.setattr(supervisor, "EmbeddedBroker", lambda *argv, **_: started.append(argv))
    lock = RunLock(free.data_dir)
    lock.acquire()
    with pytest.raises(StackError, match="already"), Stack(free):
        pass
    lock.release()
    with (
        socket.create_server(("127.0.0.1", free.feedback.metrics_port)),
        pytest.raises(StackError, match=r"feedback\.metrics_port"),
        Stack(free),
    ):
        pass
    (free.data_dir / "file").touch()
    settings = free.model_copy(update={"data_dir": free.data_dir / "file"})
    with pytest.raises(StackError, match="is a file"), Stack(settings):
        pass
    assert not started
    lock.acquire()  # what failed holds nothing
    lock.release()


def test_a_worker_by_itself_is_checked_too(free: Settings) -> None:
    check_worker(free, "query")
    with socket.create_server(("127.0.0.1", free.query.metrics_port)):
        with pytest.raises(StackError, match=r"query\.metrics_port \(port \d+\) is taken by"):
            check_worker(free, "query")
        with pytest.raises(StackError, match=r"query\.metrics_port \(port \d+\) is taken by"):
            serve_metrics("query", free.query.metrics_port)
    (free.data_dir / "file").touch()
    elsewhere = free.model_copy(update={"data_dir": free.data_dir / "file"})
    with pytest.raises(StackError, match="is a file"):
        check_worker(elsewhere, "ingest")
