"""Apache Kafka on loopback: one broker or several, that can be killed and brought back.

Needs Java 17 and Maven. The broker's jars (pom.xml, 44 MB) come from Maven Central once, into
`~/.cache/lookstream-tests`. One broker is up in about 3 s and takes 330 MB, three in 6 s.
"""

import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka.admin import AdminClient

from stream.child_process import spawn, stop
from stream.connection import Kafka, check_broker
from stream.embedded_broker import claim_port
from tests.servers.certificates import make_certificates
from tests.servers.maven import CACHE, resolve_jars

VERSION = "4.3.1"
HERE = Path(__file__).parent
JARS = CACHE / f"kafka-{VERSION}"
USER, PASSWORD = "lookstream", "lookstream-secret"
START_TIMEOUT_S = 90.0
# The optimising compiler takes more time than it saves in a test.
JVM = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

# Of every node: for a small cluster that starts fast.
COMMON = """
process.roles=broker,controller
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAIN:PLAINTEXT,PASSWORD:SASL_SSL,MUTUAL:SSL
inter.broker.listener.name=PLAIN
auto.create.topics.enable=false
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
message.max.bytes=16777216
replica.fetch.max.bytes=16777216
log.cleaner.backoff.ms=1000
log.retention.check.interval.ms=5000
"""


class KafkaCluster:
    """A cluster of `brokers` nodes, numbered from 1; a context manager.

    `plain` is its address without security. With `secure` it also listens at `password`
    (SASL_SSL, mechanism PLAIN) and `mutual` (TLS with client certificates). Nodes are killed when
    the thread that started them ends; the data is deleted on exit.

    Raises:
        ServerMissing: on entering, without Java, Maven, Maven Central, or (secure) openssl.
    """

    def __init__(self, brokers: int = 1, *, secure: bool = False) -> None:
        self.nodes = range(1, brokers + 1)
        self.secure = secure
        self._scratch = tempfile.TemporaryDirectory(prefix="lookstream-kafka-")
        self.directory = Path(self._scratch.name)
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        ports: set[int] = set()
        while len(ports) < 4 * brokers:
            ports.add(claim_port())
        spare = iter(ports)
        self._ports = {
            name: dict(zip(self.nodes, spare, strict=False))
            for name in ("PLAIN", "CONTROLLER", "PASSWORD", "MUTUAL")
        }

    @property
    def plain(self) -> Kafka:
        """The address of all nodes, without security."""
        return Kafka(bootstrap=self._bootstrap("PLAIN"))

    @property
    def password(self) -> Kafka:
        """The listener with TLS and a password."""
        return Kafka(
            bootstrap=self._bootstrap("PASSWORD"),
            security_protocol="SASL_SSL",
            sasl_mechanism="PLAIN",
            username=USER,
            password=PASSWORD,
            ca_file=str(self.directory / "ca.pem"),
        )

    @property
    def mutual(self) -> Kafka:
        """The listener with TLS and client certificates."""
        return Kafka(
            bootstrap=self._bootstrap("MUTUAL"),
            security_protocol="SSL",
            ca_file=str(self.directory / "ca.pem"),
            cert_file=str(self.directory / "client.crt"),
            key_file=str(self.directory / "client.key"),
        )

    def __enter__(self) -> Self:
        try:
            install()
            if self.secure:
                make_certificates(self.directory)
            self._format()
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

    def up(self, *nodes: int) -> None:
        """Start these nodes (all, if none is named) on their data; wait until they listen."""
        wanted = [node for node in nodes or self.nodes if not self.is_up(node)]
        for node in wanted:
            home = self._home(node)
            log4j = f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}"
            argv = [*_java(), log4j, "kafka.Kafka", str(home / "server.properties")]
            self._running[node] = spawn(argv, log_path=home / "server.log")
        deadline = time.monotonic() + START_TIMEOUT_S
        for node in wanted:
            self._wait_listening(node, deadline)
        if set(nodes or self.nodes) == set(self.nodes):
            self._wait_complete(deadline)

    def stop(self, *nodes: int) -> None:
        """Shut these nodes (all) down; leaders hand over first."""
        for process in self._pick(nodes):  # all at once, or the last would wait for the others
            process.terminate()
        for process in self._pick(nodes):
            stop(process, grace_s=20)

    def kill(self, *nodes: int) -> None:
        """Kill these nodes (all) with SIGKILL."""
        for process in self._pick(nodes):
            process.send_signal(signal.SIGKILL)
            process.wait()

    def is_up(self, node: int) -> bool:
        """Whether the node's process runs."""
        return node in self._running and self._running[node].poll() is None

    def leader(self, topic: str, partition: int = 0) -> int:
        """The node that leads a partition."""
        found = AdminClient(self.plain.confluent()).list_topics(topic, timeout=10)
        return int(found.topics[topic].partitions[partition].leader)

    def _pick(self, nodes: Iterable[int]) -> list[subprocess.Popen[bytes]]:
        return [self._running[node] for node in nodes or self.nodes if self.is_up(node)]

    def _bootstrap(self, listener: str) -> str:
        return ",".join(f"127.0.0.1:{port}" for port in self._ports[listener].values())

    def _home(self, node: int) -> Path:
        return self.directory / f"node-{node}"

    def _format(self) -> None:
        cluster = _run_java("kafka.tools.StorageTool", "random-uuid").split()[-1]
        for node in self.nodes:
            self._home(node).mkdir()
            file = self._home(node) / "server.properties"
            file.write_text(COMMON + "\n".join(self._properties(node)) + "\n")
            _run_java("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(file))

    def _properties(self, node: int) -> list[str]:
        ports, replicas = self._ports, min(3, len(self.nodes))
        open_to = ["PLAIN", "PASSWORD", "MUTUAL"] if self.secure else ["PLAIN"]
        outside = [f"{name}://127.0.0.1:{ports[name][node]}" for name in open_to]
        controller = f"CONTROLLER://127.0.0.1:{ports['CONTROLLER'][node]}"
        voters = [f"{one}@127.0.0.1:{port}" for one, port in ports["CONTROLLER"].items()]
        lines = [
            f"node.id={node}",
            f"controller.quorum.voters={','.join(voters)}",
            f"listeners={','.join([*outside, controller])}",
            f"advertised.listeners={','.join(outside)}",
            f"log.dirs={self._home(node) / 'data'}",
            f"offsets.topic.replication.factor={replicas}",
            f"default.replication.factor={replicas}",
            f"transaction.state.log.replication.factor={replicas}",
            f"share.coordinator.state.topic.replication.factor={replicas}",
            f"transaction.state.log.min.isr={max(1, replicas - 1)}",
            f"min.insync.replicas={max(1, replicas - 1)}",
        ]
        if self.secure:
            login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
            user = f'username="{USER}" password="{PASSWORD}" user_{USER}="{PASSWORD}"'
            lines += [
                "sasl.enabled.mechanisms=PLAIN",
                f"listener.name.password.plain.sasl.jaas.config={login} {user};",
                "ssl.keystore.type=PEM",
                f"ssl.keystore.location={self.directory / 'server.pem'}",
                "ssl.truststore.type=PEM",
                f"ssl.truststore.location={self.directory / 'ca.pem'}",
                "listener.name.mutual.ssl.client.auth=required",
            ]
        return lines

    def _wait_listening(self, node: int, deadline: float) -> None:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._ports["PLAIN"][node])) == 0:
                    return
            if not self.is_up(node) or time.monotonic() > deadline:
                log = (self._home(node) / "server.log").read_text(errors="replace")
                raise RuntimeError(f"Kafka node {node} did not come up:\n{log[-2000:]}")
            time.sleep(0.05)

    def _wait_complete(self, deadline: float) -> None:
        while check_broker(self.plain, timeout_s=60) < len(self.nodes):
            if time.monotonic() > deadline:
                raise RuntimeError(f"not all of {len(self.nodes)} Kafka nodes joined the cluster")
            time.sleep(0.1)

    def _end(self) -> None:
        self.kill()
        self._scratch.cleanup()


def install() -> None:
    """Resolve the broker's jars, once.

    Raises:
        ServerMissing: Java or Maven is missing, or Maven Central cannot be reached.
    """
    resolve_jars(f"Apache Kafka {VERSION}", "pom.xml", JARS, kafka=VERSION)


def _java() -> list[str]:
    return ["java", *JVM, "-Djava.awt.headless=true", "-cp", str(JARS / "*")]


def _run_java(*arguments: str) -> str:
    done = subprocess.run([*_java(), *arguments], check=True, capture_output=True, text=True)
    return done.stdout
