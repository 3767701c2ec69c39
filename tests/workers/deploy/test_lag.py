"""Consumer lag as a metric, on the command line, and in the doctor."""

import orjson
import pytest
from prometheus_client import REGISTRY
from typer.testing import CliRunner

from stream.connection import Kafka
from stream.publisher import Publisher
from stream.topics import Topics, create_topics, topic_map
from tests.stream.test_lag import commit
from workers.cli import app
from workers.config.settings import Settings
from workers.config.wiring import topics_of
from workers.deploy import lag
from workers.deploy.doctor import _lag
from workers.deploy.lag import consumed_topics, open_reader, report_lag, update_metric


@pytest.fixture
def kafka(embedded: Kafka) -> Kafka:
    """The embedded broker, whose watermarks are wrong."""
    return embedded


@pytest.fixture
def settings(kafka: Kafka, topics: Topics, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Five catalog events in one batch, of which two are finished."""
    prefix = topics.catalog.name.removesuffix(".catalog")
    monkeypatch.setenv("LOOKSTREAM_KAFKA__BOOTSTRAP", kafka.bootstrap)
    monkeypatch.setenv("LOOKSTREAM_KAFKA__PREFIX", prefix)
    settings = Settings.model_validate({"kafka": {"bootstrap": kafka.bootstrap, "prefix": prefix}})
    with Publisher(kafka, linger_ms=50) as publisher:
        for number in range(5):
            publisher.publish(topics.catalog.name, f"{number}", b"{}", partition=2)
    commit(kafka, settings.group("ingest"), topics.catalog.name, 2, partition=2)
    return settings


def metric(settings: Settings, partition: int) -> float | None:
    labels = {
        "worker": "ingest",
        "topic": topics_of(settings).catalog.name,
        "partition": str(partition),
    }
    return REGISTRY.get_sample_value("lookstream_consumer_lag_records", labels)


def test_every_worker_says_what_it_consumes() -> None:
    settings = Settings()
    consumed = [name for worker in lag.WORKERS for name in consumed_topics(settings, worker)]
    assert consumed == [
        f"lookstream.{name}" for name in ("catalog", "query", "impression", "click")
    ]


def test_the_metric_is_per_topic_and_partition(settings: Settings, kafka: Kafka) -> None:
    with open_reader(settings, "ingest") as reader:
        update_metric("ingest", reader)
        assert metric(settings, 2) == 3
        assert metric(settings, 0) == 0
        commit(kafka, settings.group("ingest"), topics_of(settings).catalog.name, 5, partition=2)
        update_metric("ingest", reader)
        assert metric(settings, 2) == 0


def test_without_an_answer_there_is_no_old_figure(settings: Settings) -> None:
    with open_reader(settings, "ingest") as reader:
        update_metric("ingest", reader)
    gone = settings.model_copy(
        update={"kafka": settings.kafka.model_copy(update={"prefix": "absent"})}
    )
    with open_reader(gone, "ingest") as reader:
        update_metric("ingest", reader)
    assert metric(settings, 2) is None


def test_a_worker_without_metrics_reads_none(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a thread was started")

    monkeypatch.setattr("threading.Thread", refuse)
    ingest = settings.ingest.model_copy(update={"metrics_port": 0})
    report_lag(settings.model_copy(update={"ingest": ingest}), "ingest")


@pytest.mark.usefixtures("settings")
def test_the_command_and_the_doctor_say_it(settings: Settings) -> None:
    output = CliRunner().invoke(app, ["lag", "--json"], catch_exceptions=False).output
    report = orjson.loads(output.splitlines()[-1])
    assert {worker: one["behind"] for worker, one in report.items()} == {
        "ingest": 3,
        "query": 0,
        "feedback": 0,
    }
    [partition] = [one for one in report["ingest"]["partitions"] if one["partition"] == 2]
    assert (partition["committed"], partition["end"], partition["lag"]) == (2, 5, 3)
    lines = CliRunner().invoke(app, ["lag"], catch_exceptions=False).output.splitlines()
    assert [line.split() for line in lines if ".catalog" in line][2][2:] == ["2", "2", "5", "3"]
    assert _lag(settings) == "ingest 3, query 0, feedback 0 records behind"


def test_a_broker_without_topics_is_said(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKSTREAM_KAFKA__BOOTSTRAP", kafka.bootstrap)
    monkeypatch.setenv("LOOKSTREAM_KAFKA__PREFIX", "absent")
    done = CliRunner().invoke(app, ["lag"])
    assert "absent.catalog does not exist" in str(done.exception)
    create_topics(kafka, topic_map("absent"))
    assert CliRunner().invoke(app, ["lag"]).exit_code == 0
