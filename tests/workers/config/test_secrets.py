"""Secrets reach the clients, and nothing else: no log, no error, no repr, no command line."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from stream.child_process import python_module
from stream.connection import Kafka
from tests.paths import ROOT
from workers.config.settings import Settings, load_settings, settings_environment
from workers.config.wiring import kafka_of, milvus_config_of
from workers.deploy.telemetry import configure_logging
from workers.errors import SettingsError

HUSH = "open-sesame-47"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LOOKSTREAM_")]:
        monkeypatch.delenv(name)


def test_a_secret_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, setting in {
        "kafka": "KAFKA__PASSWORD_FILE",
        "key": "KAFKA__KEY_PASSWORD_FILE",
        "milvus": "MILVUS__TOKEN_FILE",
    }.items():
        (tmp_path / name).write_text(f"{HUSH} of {name} \n")
        monkeypatch.setenv(f"LOOKSTREAM_{setting}", str(tmp_path / name))
    settings = load_settings()
    kafka, store = kafka_of(settings), milvus_config_of(settings)
    assert kafka.confluent()["sasl.password"] == f"{HUSH} of kafka "
    assert kafka.confluent()["ssl.key.password"] == f"{HUSH} of key "
    assert store.token == f"{HUSH} of milvus "
    texts = [repr(settings), str(settings), settings.model_dump_json(), repr(kafka), repr(store)]
    assert not [text for text in texts if HUSH in text]
    # A child process reads the files itself.
    assert HUSH not in str(settings_environment(settings))


def test_a_secret_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in ("KAFKA__PASSWORD", "KAFKA__KEY_PASSWORD", "MILVUS__TOKEN"):
        monkeypatch.setenv(f"LOOKSTREAM_{setting}", HUSH)
    settings = load_settings()
    assert kafka_of(settings).password == kafka_of(settings).key_password == HUSH
    assert milvus_config_of(settings).token == HUSH
    texts = [repr(settings), str(settings), settings.model_dump_json(), repr(kafka_of(settings))]
    assert not [text for text in texts if HUSH in text]
    # A child process gets them in its environment, as one setting each.
    environment = settings_environment(settings)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for setting in ("KAFKA__PASSWORD", "KAFKA__KEY_PASSWORD", "MILVUS__TOKEN"):
        monkeypatch.delenv(f"LOOKSTREAM_{setting}")
    assert kafka_of(load_settings()) == kafka_of(settings)


def test_headers_of_a_host_reach_child_processes_and_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hosts = f'{{"cdn.shop.example": {{"headers": {{"Authorization": "Bearer {HUSH}"}}}}}}'
    monkeypatch.setenv("LOOKSTREAM_INTAKE__HOSTS", hosts)
    settings = load_settings()
    texts = [repr(settings), str(settings), settings.model_dump_json()]
    assert not [text for text in texts if HUSH in text]
    for name, value in settings_environment(settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("LOOKSTREAM_INTAKE__HOSTS")
    assert load_settings() == settings
    header = settings.intake.hosts["https://cdn.shop.example:443"].headers["Authorization"]
    assert header.get_secret_value() == f"Bearer {HUSH}"


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"INTAKE__HOSTS": f'"{HUSH}"'}, "intake.hosts: Input should be"),
        ({"INTAKE__HOSTS": '{"a": "' + HUSH + '"}'}, "intake.hosts.a: Input should be"),
        ({"INTAKE__HOSTS": '{"a": {"headers": {"Host": "' + HUSH + '"}}}'}, "no header that can"),
        ({"INTAKE__HOSTS": '{"a": {"headers": {"X": "' + HUSH + '\\n"}}}'}, "not one line of"),
        ({"INTAKE__HOSTS": '{"u:' + HUSH + '@a": {}}'}, "is no host"),
        ({"INTAKE": f'"{HUSH}"'}, "intake: Input should be"),
        # A misspelt key, a section that is no JSON, values of a wrong kind.
        ({"KAFKA__PASSWROD": HUSH}, "kafka.passwrod: Extra inputs are not permitted"),
        ({"KAFKA": '{"password": "' + HUSH}, "error parsing value for field"),
        ({"KAFKA": '{"password": ["' + HUSH + '"]}'}, "kafka.password"),
        ({"KAFKA": '["' + HUSH + '"]'}, "kafka: Input should be"),
        ({"KAFKA": f'"{HUSH}"'}, "kafka: Input should be"),
        ({"KAFKA__PASSWORD": HUSH, "KAFKA__PASSWORD_FILE": "x"}, "password_file, not both"),
        ({"MILVUS__TOKEN": HUSH, "MILVUS__TOKEN_FILE": "x"}, "token_file, not both"),
        ({"KAFKA__PASSWORD": HUSH, "KAFKA__CERT_FILE": "x"}, "cert_file and key_file go together"),
        ({"MILVUS__TOKEN": HUSH, "MILVUS__CA_FILE": "x"}, "for https:// addresses"),
        ({"MILVUS__TOKEN": HUSH, "MILVUS__KEY_FILE": "x"}, "ca_file go together"),
    ],
)
def test_an_error_never_shows_one(
    environment: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(f"LOOKSTREAM_{name}", value)
    with pytest.raises(SettingsError, match=words) as caught:
        load_settings()
    assert HUSH not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe"])
def test_a_file_without_a_secret_is_said_so(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    settings = Settings.model_validate({"kafka": {"password_file": path}})
    with pytest.raises(SettingsError, match=r"password_file .*secret (cannot be read|is empty)"):
        kafka_of(settings)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_logged_traceback_shows_no_variables(
    terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    configure_logging("debug")
    try:
        password = HUSH
        config = Kafka(bootstrap="b:1", username="u", password=password).confluent()
        try:
            raise ValueError(len(config))
        except ValueError:
            structlog.get_logger().exception("it went wrong")
            logging.getLogger("librdkafka").exception("so did this")
    finally:
        root.handlers[:], root.level = before, level
        structlog.reset_defaults()
    output = capsys.readouterr().err
    assert output.count("ValueError") >= 2
    assert HUSH not in output


@pytest.mark.slow
def test_a_command_that_fails_says_none(tmp_path: Path) -> None:
    environment = {
        "LOOKSTREAM_KAFKA__BOOTSTRAP": "127.0.0.1:1",
        "LOOKSTREAM_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "LOOKSTREAM_KAFKA__SASL_MECHANISM": "PLAIN",
        "LOOKSTREAM_KAFKA__USERNAME": "shop",
        "LOOKSTREAM_KAFKA__PASSWORD": HUSH,
        "LOOKSTREAM_MILVUS__TOKEN": HUSH,
    }
    done = subprocess.run(
        python_module("workers.cli", "dlq", "list"),
        env=os.environ | environment | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "no Kafka answers at 127.0.0.1:1" in done.stderr
    assert HUSH not in done.stdout + done.stderr
