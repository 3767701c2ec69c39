"""Stores to test against: Milvus Lite through its server, and a real Milvus server."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import psutil
import pytest

from index import lite_server
from index.bank import Matrix
from index.errors import StoreUnavailable
from index.store import Store

MILVUS = "milvus==2.3.5"
MILVUS_VENV = Path.home() / ".cache" / "lookstream-tests" / "milvus-2.3.5"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and its children: Milvus' wrapper would leave the server behind."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        for child in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.terminate()
        for child in psutil.wait_procs(family, timeout=10)[1]:
            child.kill()
    process.wait(timeout=10)


def start_lite(data_dir: Path, port: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        lite_server.argv(data_dir, port),
        env=os.environ | lite_server.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    lite_server.wait_ready(f"http://127.0.0.1:{port}")
    return process


@pytest.fixture(scope="session")
def lite_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    port = free_port()
    process = start_lite(tmp_path_factory.mktemp("lite"), port)
    yield Store(uri=f"http://127.0.0.1:{port}", kind="lite", flush_idle_s=0.2)
    end(process)


@pytest.fixture(scope="session")
def milvus_store() -> Iterator[Store]:
    """A real server: LOOKSTREAM_TEST_MILVUS, else one from PyPI in a virtual environment."""
    if address := os.environ.get("LOOKSTREAM_TEST_MILVUS"):
        yield Store(uri=address, kind="server", consistency="Strong")
        return
    server = install_milvus()
    port = free_port()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as data:
        process = subprocess.Popen(
            [server, "--data", data, "--proxy-port", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            try:
                lite_server.wait_ready(f"http://127.0.0.1:{port}", timeout_s=90)
            except StoreUnavailable as error:
                pytest.skip(f"{MILVUS} does not start (is its etcd port 2380 taken?): {error}")
            yield Store(uri=f"http://127.0.0.1:{port}", kind="server", consistency="Strong")
        finally:
            end(process)


def install_milvus() -> str:
    server = MILVUS_VENV / "bin" / "milvus-server"
    if not server.exists():
        venv.create(MILVUS_VENV, with_pip=True)
        pip = [str(MILVUS_VENV / "bin" / "python"), "-m", "pip", "install", "-q", MILVUS]
        done = subprocess.run(pip, capture_output=True, text=True, check=False, timeout=600)
        if done.returncode != 0:
            pytest.skip(
                f"{MILVUS} cannot be installed here (set LOOKSTREAM_TEST_MILVUS): "
                f"{done.stderr.strip().splitlines()[-1]}"
            )
    return str(server)


@pytest.fixture(
    params=[
        "lite_store",
        pytest.param("milvus_store", marks=[pytest.mark.milvus, pytest.mark.slow]),
    ]
)
def store(request: pytest.FixtureRequest) -> Store:
    found: Store = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def name() -> str:
    """A catalog that nobody else uses."""
    return f"t{uuid4().hex[:8]}"


def unit_vectors(count: int, dim: int = 16, seed: int = 0) -> Matrix:
    vectors = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def python(code: str, *arguments: str) -> str:
    """Run a program in a process of its own and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout
