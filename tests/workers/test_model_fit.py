"""An index of another model: `up`, the workers and `doctor` say what differs and both ways out."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from index.errors import MilvusUnavailable, ModelMismatch
from index.milvus.metadata import CollectionMetadata
from index.prototypes.kmeans import build
from index.prototypes.registry import BankRegistry
from models.embedding.load import encoder_id, load_encoder
from models.errors import ProjectionError
from stream.child_process import python_module
from stream.embedded_broker import EmbeddedBroker
from tests.servers.milvus import LiteServer
from tests.workers.test_catalog_index import DIM, item
from workers import model_fit
from workers.catalog_index import CatalogIndex
from workers.cli import app
from workers.cli.reindex import _say_plan
from workers.config.settings import Settings, load_settings, settings_environment
from workers.deploy import doctor, supervisor
from workers.deploy.signals import EXIT_SETTINGS, exit_for_settings
from workers.deploy.supervisor import Stack
from workers.errors import StackError
from workers.jobs.reindex import Plan
from workers.model_fit import WAYS_OUT, bank_model, check_model, misfit

OURS, THEIRS = "lite2-minilm-512-aaaaaaaa", "lite0-minilm-512-bbbbbbbb"


def rows_of(model_id: str) -> CollectionMetadata:
    return CollectionMetadata(model_id=model_id, bank_version="v", dim=DIM)


@pytest.fixture
def indexed(tmp_path: Path) -> Settings:
    """A data folder with a bank of their model."""
    vectors = np.eye(DIM, dtype=np.float32)
    registry, bank = BankRegistry(tmp_path), build(vectors, THEIRS)
    registry.put(bank)
    registry.make_current(bank.version)
    return Settings.model_validate({"data_dir": tmp_path})


def says(monkeypatch: pytest.MonkeyPatch, *answers: CollectionMetadata | Exception | None) -> None:
    """Milvus answers so, one after the other."""
    left = iter(answers)

    def answer(*_: object) -> CollectionMetadata | None:
        one = next(left)
        if isinstance(one, Exception):
            raise one
        return one

    monkeypatch.setattr(model_fit, "live_metadata", answer)
    monkeypatch.setattr(model_fit, "POLL_S", 0)


def test_milvus_is_not_asked_where_the_bank_fits(
    indexed: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch)
    check_model(indexed, THEIRS)
    check_model(indexed.model_copy(update={"data_dir": tmp_path / "new"}), OURS)
    assert bank_model(indexed) == THEIRS


def test_what_made_the_rows_decides(indexed: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch, rows_of(OURS), rows_of(THEIRS), None)
    check_model(indexed, OURS)
    for _ in range(2):
        with pytest.raises(ModelMismatch, match=f"{THEIRS}.*{OURS}.*reindex"):
            check_model(indexed, OURS)


def test_milvus_may_be_late_or_away(indexed: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch, *[MilvusUnavailable("starting")] * 3, rows_of(THEIRS))
    with pytest.raises(ModelMismatch):
        check_model(indexed, OURS, wait_s=60)
    says(monkeypatch, MilvusUnavailable("gone"))
    check_model(indexed, OURS)


@pytest.mark.parametrize(
    ("found", "setting"),
    [
        ("lite0-minilm-512-aaaaaaaa", "models.backbone was lite0 and is lite2"),
        ("lite2-multilingual-512-cccccccc", "models.text was multilingual and is minilm"),
        ("lite2-minilm-128-cccccccc", "models.dim was 128 and is 512"),
        ("lite2-minilm-512-bbbbbbbb", "models.projection names other weights"),
        ("of-another-release", "models.backbone is another one"),
    ],
)
def test_the_sentence_names_what_differs_and_both_ways_out(found: str, setting: str) -> None:
    sentence = misfit(found, OURS)
    assert setting in sentence
    assert "go back to that model" in sentence
    assert "`lookstream reindex`" in sentence


def test_the_id_is_known_without_loading_anything(tmp_path: Path) -> None:
    assert encoder_id("lite0", dim=128) == load_encoder("cpu", "lite0", dim=128).model_id
    assert encoder_id() != encoder_id(dim=128)
    with pytest.raises(ProjectionError, match=r"missing\.safetensors"):
        encoder_id(projection=tmp_path / "missing.safetensors")


def test_the_doctor_says_it_without_milvus_too(indexed: Settings) -> None:
    finding = doctor._check("index", lambda: doctor._bank(indexed), "")
    assert not finding.good
    assert THEIRS in finding.state
    assert "models.backbone was lite0 and is lite2" in finding.state
    assert finding.remedy == WAYS_OUT


@pytest.mark.slow  # loads the encoder of the settings
def test_the_doctor_says_how_many_items_have_old_juice(tmp_path: Path) -> None:
    milvus = {"uri": str(tmp_path / "milvus.db"), "kind": "lite"}
    settings = Settings.model_validate({"data_dir": tmp_path / "data", "milvus": milvus})
    with closing(CatalogIndex(settings, f"{encoder_id().rpartition('-')[0]}-00000000")) as index:
        index.write([item("a"), item("b")])
    finding = doctor._check("index", lambda: doctor._index(settings), "")
    assert not finding.good
    assert "2 items" in finding.state
    assert "holds vectors and juice of model" in finding.state
    assert "this is another release of Lookstream" in finding.state
    assert "`lookstream reindex`" in finding.remedy


def test_reindex_says_how_much_is_juiced_anew(capsys: pytest.CaptureFixture[str]) -> None:
    plan = Plan("reindex", OURS, THEIRS, live_items=12, begun_items=0, events=3)
    _say_plan(plan)
    assert "all 12 items would be juiced anew" in capsys.readouterr().err
    _say_plan(replace(plan, live_model_id=OURS))
    assert "juiced anew" not in capsys.readouterr().err
    shown = " ".join(CliRunner().invoke(app, ["reindex", "--help"]).stdout.split())
    assert "lookstream doctor says how many items have old ones" in shown


class _Exited(Exception):
    pass


def test_a_worker_ends_with_a_status_and_a_line_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def leave(status: int) -> None:
        raise _Exited(status)

    monkeypatch.setattr("os._exit", leave)
    with pytest.raises(_Exited) as exited:
        exit_for_settings(ModelMismatch("does not\nfit \x1b[2J"))
    assert exited.value.args == (EXIT_SETTINGS,)
    assert capsys.readouterr().err == "error: does not\\nfit \\x1b[2J\n"
    monkeypatch.setattr("workers.deploy.preflight.check_worker", lambda *_: None)
    monkeypatch.setattr("workers.deploy.telemetry.configure_logging", lambda *_: None)

    def run(_: Settings) -> None:
        raise ModelMismatch(misfit(THEIRS, OURS))

    monkeypatch.setattr("workers.query.worker.run_query", run)
    done = CliRunner().invoke(app, ["worker", "query"])
    assert isinstance(done.exception, _Exited)


def test_it_is_not_started_again(tmp_path: Path) -> None:
    stack = Stack(Settings.model_validate({"data_dir": tmp_path}))
    script = f"print('{{}}'); print('error: two models'); raise SystemExit({EXIT_SETTINGS})"

    def spawn() -> subprocess.Popen[bytes]:
        log = tmp_path / "logs" / "query.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("ab") as file:
            process = subprocess.Popen([sys.executable, "-c", script], stdout=file)
        process.wait()
        return process

    stack._workers["query"] = stack._start("the query worker", "query", 1, spawn)
    with pytest.raises(StackError) as ended:
        stack.check()
    assert str(ended.value) == "the query worker cannot run with these settings: two models"


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[Settings]:
    """A broker, and a Milvus with an index of another model."""
    with EmbeddedBroker() as broker, LiteServer(tmp_path / "milvus") as milvus:
        settings = Settings.model_validate(
            {
                **load_settings().model_dump(),
                "data_dir": tmp_path / "data",
                "kafka": {"bootstrap": broker.bootstrap},
                "milvus": {"uri": milvus.uri, "kind": "lite"},
                **{name: {"metrics_port": 0} for name in ("ingest", "query", "feedback")},
            }
        )
        index = CatalogIndex(settings, THEIRS)
        index.write([item("a", seed=1)])
        index.close()
        yield settings


@pytest.mark.slow
def test_up_starts_no_worker_of_another_model(
    deployed: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    monkeypatch.setattr(supervisor, "spawn", lambda *argv, **_: started.append(argv))
    with pytest.raises(StackError, match=r"models\.backbone was lite0.*reindex"), Stack(deployed):
        pass
    assert not started


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ingest", "query"])
def test_a_worker_by_itself_says_it_and_ends(deployed: Settings, name: str) -> None:
    done = subprocess.run(
        python_module("workers.cli", "worker", name),
        env=settings_environment(deployed),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == EXIT_SETTINGS, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: the index holds vectors and juice of model lite0-")
    assert WAYS_OUT in last
