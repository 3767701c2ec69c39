"""The command line: help with examples, errors in one line, JSON for machines."""

import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from stream.child_process import python_module
from stream.embedded_broker import claim_port
from tests.paths import ROOT
from workers.cli import app, main

COMMANDS = [
    ["demo"],
    ["up"],
    ["worker"],
    ["doctor"],
    ["produce"],
    ["search"],
    ["evaluate"],
    ["adapt"],
    ["bench"],
    ["train", "embedding"],
    ["train", "reranker"],
    ["prototypes", "build"],
    ["prototypes", "show"],
    ["prototypes", "update"],
    ["prototypes", "resolve"],
    ["dlq", "list"],
    ["dlq", "show"],
]


def lookstream(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, as a person would."""
    return subprocess.run(
        python_module("workers.cli", *arguments),
        cwd=cwd,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(Path.home()),
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "200",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


@pytest.fixture
def nowhere() -> dict[str, str]:
    """Addresses where nothing runs."""
    return {
        "LOOKSTREAM_KAFKA__BOOTSTRAP": f"127.0.0.1:{claim_port()}",
        "LOOKSTREAM_MILVUS__URI": f"http://127.0.0.1:{claim_port()}",
    }


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(command: list[str]) -> None:
    shown = CliRunner().invoke(app, [*command, "--help"])
    assert shown.exit_code == 0
    assert "Usage" in shown.output


def test_every_command_with_arguments_shows_an_example() -> None:
    for command in (
        ["demo"],
        ["produce"],
        ["search"],
        ["adapt"],
        ["evaluate"],
        ["train", "embedding"],
    ):
        assert "Example" in CliRunner().invoke(app, [*command, "--help"]).output


@pytest.mark.slow
def test_without_a_broker_the_error_says_where_it_looked(
    tmp_path: Path, nowhere: dict[str, str]
) -> None:
    done = lookstream("dlq", "list", cwd=tmp_path, **nowhere)
    assert done.returncode == 1
    assert f"no Kafka answers at {nowhere['LOOKSTREAM_KAFKA__BOOTSTRAP']}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_typing_slip_in_the_settings_is_one_line(tmp_path: Path) -> None:
    done = lookstream("dlq", "list", cwd=tmp_path, LOOKSTREAM_KAFKA__BOOTSTRP="x")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "kafka.bootstrp" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["search"], "give a photo, --text, or both"),
        (["search", "missing.jpg"], "no picture at missing.jpg"),
        (["evaluate", "missing"], "missing is no catalog folder"),
        (["evaluate", "missing", "--adapt", "--through-kafka"], "leave --through-kafka out"),
        (["adapt"], "there is no index"),
        (["adapt", "shop", "--undo"], "give a folder to learn from, or --undo"),
        (["bench", "missing"], "there is no benchmark 'missing'"),
        (["prototypes", "show"], "there is no index"),
        (["prototypes", "resolve", "shoe-17"], "there is no index"),
        (["prototypes", "build", "--clusters", "c.jsonl"], "with the --catalog"),
    ],
)
def test_mistakes_are_told_with_the_next_step(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["lookstream", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    assert words in capsys.readouterr().err


def test_a_mistake_is_one_line(tmp_path: Path) -> None:
    done = lookstream("search", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1


def test_a_photo_over_the_limit_is_not_sent(tmp_path: Path) -> None:
    (tmp_path / "large.jpg").write_bytes(bytes(1001))
    done = lookstream("search", "large.jpg", cwd=tmp_path, LOOKSTREAM_INTAKE__MAX_BYTES="1000")
    assert done.returncode == 1
    assert "large.jpg is larger than 0.001 MB (intake.max_bytes)" in done.stderr


@pytest.mark.slow
def test_the_doctor_finds_what_does_not_run(tmp_path: Path, nowhere: dict[str, str]) -> None:
    done = lookstream("doctor", "--json", cwd=tmp_path, **nowhere)
    report = orjson.loads(done.stdout.splitlines()[-1])
    state = {finding["what"]: finding["good"] for finding in report["findings"]}
    assert done.returncode == 1
    assert report["healthy"] is False
    assert state == {
        "python": True,
        "packages": True,
        "settings": True,
        "weights": True,
        "broker": False,
        "milvus": False,
        "data_dir": True,
    }
    assert all(finding["remedy"] for finding in report["findings"] if not finding["good"])
