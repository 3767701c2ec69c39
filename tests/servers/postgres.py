"""PostgreSQL on loopback with logical decoding, as Debezium needs it.

Needs Debian's package `postgresql` (15 or newer; started in 1 s, 40 MB), or its programs elsewhere
in `PATH`. No cluster of the system is touched. The server refuses to run as root: then it runs as
the user `postgres` that the package makes.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from stream.child_process import spawn, stop
from stream.embedded_broker import claim_port
from tests.servers import ServerMissing

USER, PASSWORD = "lookstream", "lookstream-secret"
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 20.0
SETTINGS = {
    "wal_level": "logical",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "60",
    "max_wal_senders": "20",
    "max_replication_slots": "20",
}


class PostgresServer:
    """A database `shop` of its own; a context manager. The data is deleted on exit.

    Raises:
        ServerMissing: on entering, without PostgreSQL or, as root, a user to run it.
    """

    def __init__(self) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="lookstream-postgres-")
        self.directory = Path(self._scratch.name)
        self.port = claim_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def connect(self, database: str = "shop") -> psycopg.Connection[Any]:
        """A connection that commits each statement."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=USER,
            password=PASSWORD,
            dbname=database,
            autocommit=True,
        )

    def _start(self) -> None:
        programs = _programs()
        data, secret = self.directory / "data", self.directory / "password"
        secret.write_text(PASSWORD)
        prefix = _as_other_user(self.directory)
        options = ["--auth=scram-sha-256", f"--username={USER}", f"--pwfile={secret}", "--no-sync"]
        initdb = [*prefix, str(programs / "initdb"), "-D", str(data), "--encoding=UTF8"]
        subprocess.run(
            [*initdb, "--locale=C.UTF-8", *options], check=True, capture_output=True, cwd="/"
        )
        settings = [f"{name}={value}" for name, value in SETTINGS.items()]
        argv = [*prefix, str(programs / "postgres"), "-D", str(data), "-p", str(self.port)]
        self._process = spawn(
            [*argv, *(word for one in settings for word in ("-c", one))],
            log_path=self.directory / "server.log",
        )
        self._wait_ready()
        with self.connect("postgres") as connection:
            connection.execute("CREATE DATABASE shop")

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                self.connect("postgres").close()
            except psycopg.OperationalError as error:
                ended = self._process is None or self._process.poll() is not None
                if ended or time.monotonic() > deadline:
                    log = (self.directory / "server.log").read_text(errors="replace")
                    raise RuntimeError(f"PostgreSQL did not come up:\n{log[-2000:]}") from error
                time.sleep(0.05)
            else:
                return

    def _end(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # ends sessions; SIGTERM waits for them
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT_S)
            stop(self._process)
        self._scratch.cleanup()


def _programs() -> Path:
    """The folder of the server's programs, of the newest version that is installed."""
    debian = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    found = sorted(debian, key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    if (elsewhere := shutil.which("postgres")) and shutil.which("initdb"):
        return Path(elsewhere).resolve().parent
    raise ServerMissing("no PostgreSQL: `apt-get install postgresql`")


def _as_other_user(directory: Path) -> list[str]:
    """The beginning of a command line that gives up root, and the folder with it."""
    if os.getuid() != 0:
        return []
    try:
        user = pwd.getpwnam("postgres")
    except KeyError as error:
        raise ServerMissing("PostgreSQL does not run as root: make a user `postgres`") from error
    if not shutil.which("setpriv"):
        raise ServerMissing("PostgreSQL does not run as root, and there is no setpriv (util-linux)")
    os.chown(directory, user.pw_uid, user.pw_gid)
    for path in directory.iterdir():
        os.chown(path, user.pw_uid, user.pw_gid)
    ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    # Giving up root also gives up the signal at the parent's death.
    return ["setpriv", *ids, "--pdeathsig", "QUIT"]
