"""What a running stack shows of itself: no secret anywhere, and no port beyond loopback."""

import ipaddress
import os
from collections.abc import Iterator
from pathlib import Path

import orjson
import psutil
import pytest

from stream.connection import Kafka
from stream.dead_letter import read_dead_letters
from stream.messages import Query
from stream.publisher import Publisher, wait_committed
from stream.request_reply import Client
from tests.doubles.colours import picture_uri
from workers.config.settings import Settings, load_settings, settings_environment
from workers.config.wiring import kafka_of, topics_of
from workers.deploy.ephemeral import ephemeral_settings
from workers.deploy.supervisor import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

TOKEN = "shop:hush-hush-47"
UNUSED = "open-sesame-47"


@pytest.fixture(params=["environment", pytest.param("file", marks=pytest.mark.kafka)])
def settings(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    """Settings with secrets: for the embedded broker in the environment (which has no use for
    them), for a real Kafka behind TLS and a password in files.
    """
    monkeypatch.setenv("LOOKSTREAM_LOG_LEVEL", "debug")
    if request.param == "environment":
        monkeypatch.setenv("LOOKSTREAM_MILVUS__TOKEN", TOKEN)
        monkeypatch.setenv("LOOKSTREAM_KAFKA__PASSWORD", UNUSED)
    else:
        secure: Kafka = request.getfixturevalue("secure_kafka")
        assert secure.password
        for name, secret in (("KAFKA__PASSWORD", secure.password), ("MILVUS__TOKEN", TOKEN)):
            path = tmp_path / name
            path.write_text(f"{secret}\n")
            monkeypatch.setenv(f"LOOKSTREAM_{name}_FILE", str(path))
        for name in ("bootstrap", "security_protocol", "sasl_mechanism", "username", "ca_file"):
            monkeypatch.setenv(f"LOOKSTREAM_KAFKA__{name.upper()}", getattr(secure, name))
    with ephemeral_settings(load_settings(), "exposure") as ephemeral:
        yield ephemeral


def use(settings: Settings) -> None:
    """An upsert, a poison, a query: so that every worker has something to say."""
    kafka, topics = kafka_of(settings), topics_of(settings)
    upsert = {"type": "upsert", "product_id": "p", "title": "p", "image": picture_uri("red")}
    with Publisher(kafka) as publisher:
        publisher.publish(topics.catalog.name, "p", orjson.dumps(upsert))
        publisher.publish(topics.catalog.name, "p", b"this is no JSON")
        ends = publisher.flush()[topics.catalog.name]
    wait_committed(kafka, settings.group("ingest"), topics.catalog.name, ends, timeout_s=60)
    assert len(list(read_dead_letters(kafka, topics))) == 1
    with Client(kafka, topics, timeout_s=60) as client:
        assert client.search(Query(query_id="q", image=picture_uri("red"))).items
        assert client.search(Query(query_id="bad", image="data:image/png;base64,AA==")).error


def family() -> list[psutil.Process]:
    children: list[psutil.Process] = psutil.Process(os.getpid()).children(recursive=True)
    return children


def on_loopback(address: str) -> bool:
    ip = ipaddress.ip_address(address)
    inner = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (inner or ip).is_loopback


def listening(processes: list[psutil.Process]) -> set[tuple[str, int]]:
    return {
        (connection.laddr.ip, connection.laddr.port)
        for process in processes
        for connection in process.net_connections(kind="all")
        if connection.status == psutil.CONN_LISTEN and connection.laddr
        if not isinstance(connection.laddr, str)
    }


def test_a_running_stack_keeps_its_secrets_and_its_ports(settings: Settings) -> None:
    kafka = kafka_of(settings)
    secrets = [TOKEN, kafka.password or UNUSED]
    assert all(len(secret) > 8 for secret in secrets)
    before = set(family())
    with Stack(settings) as stack:
        stack.wait_ready()
        use(settings)
        stack.check()
        ours = [process for process in family() if process not in before]
        commands = [" ".join(process.cmdline()) for process in ours]
        assert len(ours) >= 4, commands
        ports = listening(ours)
        assert len(ports) >= 4, ports  # Milvus Lite and three metrics ports
        assert not [place for place in ports if not on_loopback(place[0])]
        for secret in secrets:
            assert not [command for command in commands if secret in command]
    logs = {path.name: path.read_text(errors="replace") for path in settings.log_dir.iterdir()}
    assert {"ingest.log", "query.log", "feedback.log", "milvus.log"} <= set(logs)
    assert "dead-lettering" in logs["ingest.log"]
    for name, text in logs.items():
        for secret in secrets:
            assert secret not in text, f"{name} shows a secret"
    left = [p for p in settings.data_dir.rglob("*") if p.is_file()]
    assert not [p for p in left if any(secret.encode() in p.read_bytes() for secret in secrets)]
    if settings.kafka.password_file:
        environment = str(settings_environment(settings))
        assert not [secret for secret in secrets if secret in environment]
