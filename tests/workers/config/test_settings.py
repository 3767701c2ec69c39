"""Settings: file, environment, errors that name the key, and secrets that stay secret."""

from pathlib import Path

import pytest

from workers.config.settings import Settings, load_settings, settings_environment
from workers.errors import SettingsError


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PROFILE", "KAFKA__BOOTSTRAP", "QUERY__BATCH", "KAFKA__PASSWORD"):
        monkeypatch.delenv(f"LOOKSTREAM_{name}", raising=False)


@pytest.mark.parametrize(("profile", "kind"), [("embedded", "lite"), ("cluster", "server")])
def test_the_profiles_that_come_along_load(
    profile: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOKSTREAM_PROFILE", profile)
    assert load_settings().milvus.layout == kind


def test_the_environment_wins_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.toml").write_text('[kafka]\nbootstrap = "file:1"\nprefix = "shop"\n')
    monkeypatch.setenv("LOOKSTREAM_PROFILE", str(tmp_path / "own.toml"))
    monkeypatch.setenv("LOOKSTREAM_KAFKA__BOOTSTRAP", "environment:2")
    kafka = load_settings().kafka
    assert (kafka.bootstrap, kafka.prefix) == ("environment:2", "shop")


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[kafka]\nbootstrp = 'x'\n", "kafka.bootstrp: Extra inputs are not permitted"),
        ("[query]\nbatch = 'many'\n", r"query.batch: .*valid integer.*got 'many'"),
        ("[query]\ncandidates = 1\n", "query.candidates: .*greater than or equal to 10"),
        ("nonsense = 1\n", "nonsense: Extra inputs"),
    ],
)
def test_a_wrong_key_is_named(
    toml: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.toml").write_text(toml)
    monkeypatch.setenv("LOOKSTREAM_PROFILE", str(tmp_path / "own.toml"))
    with pytest.raises(SettingsError, match=words):
        load_settings()


def test_a_missing_profile_says_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKSTREAM_PROFILE", "moon")
    with pytest.raises(SettingsError, match="embedded, cluster, or the path"):
        load_settings()


def test_a_password_shows_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKSTREAM_KAFKA__PASSWORD", "open-sesame")
    settings = load_settings()
    assert "open-sesame" not in repr(settings)
    assert "open-sesame" not in settings.model_dump_json()


def test_a_child_process_loads_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKSTREAM_KAFKA__BOOTSTRAP", "overridden:1")
    settings = Settings.model_validate(
        {
            "data_dir": Path("elsewhere"),
            "kafka": {"bootstrap": "here:1", "password": "open-sesame"},
            "intake": {"roots": ["a", "b"]},
        }
    )
    for name, value in settings_environment(settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("LOOKSTREAM_KAFKA__BOOTSTRAP")
    assert load_settings() == settings
