"""Milvus on loopback: a Lite server that can be stopped and restarted, and a real one.

The real server is Milvus 2.3.5 from PyPI in a virtual environment of its own, under
`~/.cache/lookstream-tests` (10 s to start, 700 MB).
"""

import contextlib
import os
import socket
import subprocess
import tempfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from index.errors import MilvusUnavailable
from index.milvus import lite_process
from stream.child_process import spawn, stop
from stream.embedded_broker import claim_port
from tests.servers import ServerMissing

PACKAGE = "milvus==2.3.5"
HOME = Path.home() / ".cache" / "lookstream-tests" / PACKAGE.replace("==", "-")
START_TIMEOUT_S = 90.0
ROOT = "root:Milvus"
QUICK = ("--extra-config", "proxy.timeTickInterval=50")
"""Strong reads wait for the next time tick, 200 ms by default."""


class LiteServer:
    """A Milvus Lite server on `data_dir`; a context manager. The data outlives it."""

    def __init__(self, data_dir: Path, port: int | None = None) -> None:
        self.data_dir = data_dir
        self.port = port or claim_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def up(self) -> None:
        """Start it, unless it runs, and wait until it answers."""
        if self._process and self._process.poll() is None:
            return
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._process = spawn(
            lite_process.argv(self.data_dir, self.port),
            log_path=self.data_dir.with_suffix(".log"),
            env=os.environ | lite_process.environment(),
        )
        lite_process.wait_ready(self.uri)

    def stop(self) -> None:
        """End it."""
        if self._process:
            stop(self._process, grace_s=10)

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        if self._process:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def milvus_server(*, authorization: bool = False) -> Iterator[str]:
    """The address of a real Milvus server for as long as the block.

    With `authorization` it requires a token; `ROOT` is that of its only user.

    Raises:
        ServerMissing: it cannot be installed or started here.
    """
    server, port = install(), _free_port()
    with tempfile.TemporaryDirectory(
        prefix="lookstream-milvus-", ignore_cleanup_errors=True
    ) as data:
        options = ["--authorization-enabled", "true"] if authorization else []
        options += [*QUICK, *_own_etcd(Path(data))]
        process = spawn([server, "--data", data, "--proxy-port", str(port), *options])
        try:
            try:
                token = ROOT if authorization else None
                lite_process.wait_ready(f"http://127.0.0.1:{port}", START_TIMEOUT_S, token)
            except MilvusUnavailable as error:
                raise ServerMissing(f"{PACKAGE} does not start: {error}") from error
            yield f"http://127.0.0.1:{port}"
        finally:
            _kill_family(process)


def _own_etcd(data: Path) -> list[str]:
    """Options that give the server's etcd ports of its own, so that there may be several servers.

    The wrapper sets only the client's side of them; the file's name goes in as a second line.
    """
    peer, client = (f"http://127.0.0.1:{_free_port()}" for _ in range(2))
    file = data / "etcd.yaml"
    file.write_text(
        f"name: default\ndata-dir: {data / 'etcd'}\ninitial-cluster: default={peer}\n"
        f"listen-peer-urls: {peer}\ninitial-advertise-peer-urls: {peer}\n"
        f"listen-client-urls: {client}\nadvertise-client-urls: {client}\n"
    )
    settings = f"etcd.use.embed=true\n  config:\n    path: {file}"
    return ["--etcd-port", client.rpartition(":")[2], "--extra-config", settings]


def _free_port() -> int:
    """A free port; a claim that is held would send Milvus' wrapper on to the next one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def install() -> str:
    """The path of `milvus-server`, installed once.

    Raises:
        ServerMissing: pip can't.
    """
    server = HOME / "bin" / "milvus-server"
    if not server.exists():
        venv.create(HOME, with_pip=True)
        pip = [str(HOME / "bin" / "python"), "-m", "pip", "install", "-q", PACKAGE]
        done = subprocess.run(pip, capture_output=True, text=True, check=False, timeout=600)
        if done.returncode != 0:
            raise ServerMissing(
                f"{PACKAGE} cannot be installed here (set LOOKSTREAM_TEST_MILVUS to the address "
                f"of a server): {done.stderr.strip().splitlines()[-1]}"
            )
    return str(server)


def _kill_family(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its children: Milvus' wrapper would leave the server behind.

    In an orderly way it takes ten seconds, for data that nobody wants.
    """
    family: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
    for child in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    process.kill()
    process.wait()
    while any(map(_runs, family)):
        time.sleep(0.01)


def _runs(process: psutil.Process) -> bool:
    """Whether it does; a dead one that nobody has reaped does not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
