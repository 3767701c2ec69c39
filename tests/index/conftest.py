"""Stores to test against: Milvus Lite through its server, and a real Milvus server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from uuid import uuid4

import numpy as np
import pytest

from index.milvus.config import MilvusConfig
from index.vectors import Matrix
from tests.servers import ServerMissing
from tests.servers.milvus import LiteServer, milvus_server


@pytest.fixture(scope="session")
def lite_config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusConfig]:
    with LiteServer(tmp_path_factory.mktemp("lite") / "data") as server:
        yield MilvusConfig(uri=server.uri, kind="lite", flush_idle_s=0.2)


@pytest.fixture(scope="session")
def server_config() -> Iterator[MilvusConfig]:
    """A real server: LOOKSTREAM_TEST_MILVUS, else one from PyPI in a virtual environment."""
    if address := os.environ.get("LOOKSTREAM_TEST_MILVUS"):
        yield MilvusConfig(uri=address, kind="server", consistency="Strong")
        return
    try:
        with milvus_server() as address:
            yield MilvusConfig(uri=address, kind="server", consistency="Strong")
    except ServerMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(
    params=[
        "lite_config",
        pytest.param("server_config", marks=[pytest.mark.milvus, pytest.mark.slow]),
    ]
)
def config(request: pytest.FixtureRequest) -> MilvusConfig:
    found: MilvusConfig = request.getfixturevalue(request.param)
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
