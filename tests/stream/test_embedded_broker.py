"""The embedded broker: it comes, stays on loopback, and goes with its parent."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from stream.child_process import spawn, stop
from stream.connection import Kafka, check_broker
from stream.embedded_broker import EmbeddedBroker, claim_port
from stream.errors import BrokerError
from tests.paths import ROOT


def eventually(happened: Callable[[], bool], timeout_s: float = 10) -> bool:
    deadline = time.monotonic() + timeout_s
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_it_answers_inside_the_block_only() -> None:
    with EmbeddedBroker() as broker:
        kafka = Kafka(bootstrap=broker.bootstrap)
        assert check_broker(kafka) == 1
        assert broker.pid
    with pytest.raises(BrokerError, match=f"no Kafka answers at {broker.bootstrap}"):
        check_broker(kafka, timeout_s=1)


@pytest.mark.skipif(sys.platform != "linux", reason="reads sockets of another process")
def test_it_listens_on_loopback_only() -> None:
    with EmbeddedBroker() as broker:
        listening = [
            connection.laddr.ip
            for connection in psutil.Process(broker.pid).net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        ]
    assert listening
    assert set(listening) == {"127.0.0.1"}


def test_a_taken_port_is_said_so() -> None:
    with (
        EmbeddedBroker() as first,
        pytest.raises(BrokerError, match=f"port {first.port} is taken"),
    ):
        EmbeddedBroker(first.port).start()


@pytest.mark.skipif(sys.platform != "linux", reason="how Linux gives ports away")
def test_a_claimed_port_is_nobody_elses_and_can_be_listened_at() -> None:
    ports = {claim_port() for _ in range(300)}
    assert len(ports) == 300
    with EmbeddedBroker(ports.pop()) as broker:
        check_broker(Kafka(bootstrap=broker.bootstrap))
    with socket.create_server(("127.0.0.1", ports.pop())) as server:
        server.listen()


def test_a_port_can_be_used_again() -> None:
    with EmbeddedBroker() as first:
        check_broker(Kafka(bootstrap=first.bootstrap))
    with EmbeddedBroker(first.port) as second:
        assert second.bootstrap == first.bootstrap


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills the children of the dead")
def test_it_dies_with_a_parent_that_was_killed() -> None:
    code = (
        "import time; from stream.embedded_broker import EmbeddedBroker\n"
        "with EmbeddedBroker() as broker: print(broker.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT)
    with parent:
        assert parent.stdout
        broker = int(parent.stdout.readline())
        assert psutil.pid_exists(broker)
        parent.send_signal(signal.SIGKILL)
    assert eventually(lambda: not psutil.pid_exists(broker))


def test_a_child_has_a_session_a_log_and_no_input(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "child.log"
    code = "import os, sys; print(os.getsid(0) == os.getpid(), sys.stdin.read(), os.environ['A'])"
    child = spawn([sys.executable, "-c", code], log_path=log, env={"A": "b"})
    assert child.wait(10) == 0
    assert log.read_text().split() == ["True", "b"]


def test_a_command_that_does_not_exist_is_said_so(tmp_path: Path) -> None:
    child = spawn(["/no/such/command"], log_path=tmp_path / "log")
    assert child.wait(10) == 127
    assert "cannot run /no/such/command: No such file" in (tmp_path / "log").read_text()


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True)\n" + (
        "time.sleep(60)"
    )
    log = tmp_path / "log"
    child = spawn([sys.executable, "-c", code], log_path=log, env=dict(os.environ))
    assert eventually(lambda: log.exists() and log.read_text() != "")
    assert stop(child, grace_s=0.2) == -signal.SIGKILL
    assert stop(child) == -signal.SIGKILL
