"""`lookstream` in a folder whose own modules are called like ours: they must not be imported."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stream.child_process import python_module
from stream.embedded_broker import claim_port
from tests.paths import ROOT

OURS = ("benchmarks", "configs", "index", "models", "stream", "workers")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with a module named like each of our packages, and one like the standard library."""
    for name in (*OURS, "queue"):
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('the {name} of the shop')\n")
    return tmp_path


@contextmanager
def running(argv: list[str], folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """The command in this folder, on ports of its own; ended with Ctrl-C."""
    embedded = "embedded://127.0.0.1"
    process = subprocess.Popen(
        argv,
        cwd=folder,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(Path.home()),
            "PYTHONPATH": str(ROOT),
            "LOOKSTREAM_KAFKA__BOOTSTRAP": f"{embedded}:{claim_port()}",
            "LOOKSTREAM_MILVUS__URI": f"{embedded}:{claim_port()}",
            "LOOKSTREAM_FEEDBACK__METRICS_PORT": str(claim_port()),
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


@pytest.mark.parametrize(
    "argv",
    [
        [str(Path(sys.executable).with_name("lookstream"))],
        python_module("workers.cli"),
    ],
    ids=["script", "module"],
)
def test_a_command_runs_beside_modules_of_our_names(argv: list[str], shop: Path) -> None:
    with running([*argv, "search"], shop) as command:
        _, errors = command.communicate(timeout=60)
    assert "give a photo, --text, or both" in errors


@pytest.mark.slow
def test_up_runs_beside_modules_of_our_names(shop: Path) -> None:
    """Broker, Milvus Lite and a worker, each a process of its own, start and stay up."""
    argv = [*python_module("workers.cli"), "up", "--only", "feedback"]
    lines = []
    with running(argv, shop) as up:
        assert up.stderr is not None
        for line in up.stderr:
            lines.append(line)
            if line.startswith("ready:"):
                break
    logs = {log.stem: log.read_text() for log in shop.glob(".lookstream/logs/*.log")}
    assert lines[-1].startswith("ready:"), logs
    assert not any("ended" in line for line in lines)
    assert logs.keys() == {"broker", "milvus", "feedback"}
