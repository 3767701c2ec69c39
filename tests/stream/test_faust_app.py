"""The Faust app has the settings that were measured, and no surprises."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from faust.auth import SASLCredentials

from stream.connection import MAX_MESSAGE_BYTES, Kafka
from stream.faust_app import make_app, raw_topic
from stream.publisher import Publisher
from stream.topics import Topics

KAFKA = Kafka(bootstrap="127.0.0.1:1,127.0.0.1:2")


def test_it_reads_from_the_beginning_and_creates_no_topics(tmp_path: Path) -> None:
    conf = make_app(KAFKA, "a-group", datadir=tmp_path).conf
    assert conf.id == "a-group"
    assert [str(url) for url in conf.broker] == ["kafka://127.0.0.1:1", "kafka://127.0.0.1:2"]
    assert conf.consumer_auto_offset_reset == "earliest"
    assert not conf.topic_allow_declare
    assert conf.topic_disable_leader
    assert conf.producer_max_request_size == MAX_MESSAGE_BYTES
    assert conf.datadir.is_relative_to(tmp_path)


def test_the_web_is_off_and_on_loopback_when_on(tmp_path: Path) -> None:
    assert not make_app(KAFKA, "dark", datadir=tmp_path).conf.web_enabled
    conf = make_app(KAFKA, "lit", datadir=tmp_path, web_port=7000).conf
    assert (conf.web_enabled, conf.web_bind, conf.web_port) == (True, "127.0.0.1", 7000)


def test_settings_can_be_overridden(tmp_path: Path) -> None:
    app = make_app(KAFKA, "mine", datadir=tmp_path, broker_commit_interval=3.0)
    assert app.conf.broker_commit_interval == 3.0


def test_a_password_reaches_faust(tmp_path: Path) -> None:
    kafka = Kafka(
        bootstrap="b:1", security_protocol="SASL_PLAINTEXT", username="u", password="hush"
    )
    credentials = make_app(kafka, "sasl", datadir=tmp_path).conf.broker_credentials
    assert isinstance(credentials, SASLCredentials)
    assert (credentials.username, credentials.mechanism.value) == ("u", "PLAIN")
    assert make_app(KAFKA, "plain", datadir=tmp_path).conf.broker_credentials is None


@pytest.mark.slow
async def test_what_was_taken_before_anything_was_committed_is_read_again(
    kafka: Kafka, topics: Topics, tmp_path: Path
) -> None:
    """Faust drops what a fetch brings during a rebalance, and seeks to what is committed."""
    with Publisher(kafka) as publisher:
        for i in range(100):
            publisher.publish(topics.catalog.name, f"key-{i}", b"%d" % i)
        publisher.flush()
    app = make_app(kafka, f"again-{topics.catalog.name}", datadir=tmp_path)
    taken: Counter[int] = Counter()
    changed = asyncio.Event()

    @app.agent(raw_topic(app, topics.catalog.name))
    async def take(stream: Any) -> None:
        async for events in stream.noack_take(64, within=0.1):
            taken.update(int(event.value) for event in events)
            changed.set()

    async def until_taken(times: int) -> None:
        while len(taken) < 100 or min(taken.values()) < times:
            await changed.wait()
            changed.clear()

    await app.start()
    try:
        await asyncio.wait_for(until_taken(1), 30)
        await app.consumer.perform_seek()
        await asyncio.wait_for(until_taken(2), 30)
    finally:
        await app.stop()
    assert set(taken.values()) == {2}
