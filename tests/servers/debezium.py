"""Debezium on loopback: Kafka Connect with its connector for PostgreSQL.

Needs Java 17 and Maven. The jars (connect.xml, 41 MB) come from Maven Central once, into
`~/.cache/lookstream-tests`. A worker is up in about 5 s and takes 400 MB.
"""

import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from stream.child_process import spawn, stop
from stream.connection import Kafka
from stream.embedded_broker import claim_port
from tests.servers import kafka
from tests.servers.maven import CACHE, HERE, resolve_jars
from tests.servers.postgres import PASSWORD, USER, PostgresServer

VERSION = "3.6.3.Final"
JARS = CACHE / f"debezium-{VERSION}-kafka-{kafka.VERSION}"
START_TIMEOUT_S = 180.0
SETTINGS = {
    "key.converter": "org.apache.kafka.connect.json.JsonConverter",
    "value.converter": "org.apache.kafka.connect.json.JsonConverter",
    "key.converter.schemas.enable": "false",
    "value.converter.schemas.enable": "false",
    "offset.flush.interval.ms": "5000",
    "plugin.discovery": "only_scan",
}


class ConnectWorker:
    """A standalone worker of Kafka Connect; a context manager.

    It keeps the connectors' positions in a file, so that one that was killed goes on, with what it
    sent after the last flush once more. Its data is deleted on exit.

    Raises:
        ServerMissing: on entering, without Java, Maven or Maven Central.
    """

    def __init__(self, broker: Kafka) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="lookstream-connect-")
        self.directory = Path(self._scratch.name)
        self.url = f"http://127.0.0.1:{claim_port()}"
        self._broker = broker
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            what = f"Debezium {VERSION}"
            resolve_jars(what, "connect.xml", JARS, kafka=kafka.VERSION, debezium=VERSION)
            self.up()
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

    def up(self) -> None:
        """Start it, unless it runs, and wait until it answers; connectors are put anew."""
        if self._process and self._process.poll() is None:
            return
        file = self.directory / "worker.properties"
        given = {
            **SETTINGS,
            "bootstrap.servers": self._broker.bootstrap,
            "listeners": self.url,
            "offset.storage.file.filename": str(self.directory / "offsets"),
        }
        file.write_text("".join(f"{name}={value}\n" for name, value in given.items()))
        log4j = f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}"
        main = "org.apache.kafka.connect.cli.ConnectStandalone"
        argv = ["java", *kafka.JVM, log4j, "-cp", str(JARS / "*"), main, str(file)]
        self._process = spawn(argv, log_path=self._log)
        self._wait(lambda: bool(httpx.get(f"{self.url}/connectors").is_success), "come up")

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        if self._process:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def stop(self) -> None:
        """End it in an orderly way: it keeps its position."""
        if self._process:
            stop(self._process, grace_s=20)

    def put(self, name: str, config: dict[str, Any]) -> None:
        """Run a connector with this configuration, and wait until its task runs."""
        answer = httpx.put(
            f"{self.url}/connectors/{name}/config", json=config, timeout=START_TIMEOUT_S
        )
        if not answer.is_success:
            raise RuntimeError(f"Kafka Connect refuses the connector: {answer.text[:1000]}")
        self._wait(lambda: self.runs(name), f"run the connector {name}")

    def remove(self, name: str) -> None:
        """Stop a connector and forget it."""
        httpx.delete(f"{self.url}/connectors/{name}", timeout=START_TIMEOUT_S).raise_for_status()

    def runs(self, name: str) -> bool:
        """Whether a connector runs; raises RuntimeError if it failed."""
        tasks = httpx.get(f"{self.url}/connectors/{name}/status").json().get("tasks", [])
        if failed := [one["trace"] for one in tasks if one["state"] == "FAILED"]:
            raise RuntimeError(f"the connector failed: {failed[0][:2000]}")
        return bool(tasks) and all(one["state"] == "RUNNING" for one in tasks)

    @property
    def _log(self) -> Path:
        return self.directory / "connect.log"

    def _wait(self, holds: Any, what: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                if holds():
                    return
            except httpx.TransportError:
                pass
            ended = self._process is None or self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                log = self._log.read_text(errors="replace")
                raise RuntimeError(f"Kafka Connect did not {what}:\n{log[-2000:]}")
            time.sleep(0.1)

    def _end(self) -> None:
        self.kill()
        self._scratch.cleanup()


def shop_connector(server: PostgresServer, prefix: str, **changes: str) -> dict[str, str]:
    """The configuration of a connector for the table `public.products`.

    `changes` replace settings of it; `__` in their names stands for a dot.
    """
    name = prefix.replace("-", "_")
    return {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "plugin.name": "pgoutput",
        "database.hostname": "127.0.0.1",
        "database.port": str(server.port),
        "database.user": USER,
        "database.password": PASSWORD,
        "database.dbname": "shop",
        "topic.prefix": prefix,
        "slot.name": name,
        "publication.name": name,
        "publication.autocreate.mode": "filtered",
        "table.include.list": "public.products",
        "poll.interval.ms": "100",
        "skipped.operations": "none",
        "topic.creation.default.partitions": "1",
        "topic.creation.default.replication.factor": "1",
        **{name.replace("__", "."): value for name, value in changes.items()},
    }
