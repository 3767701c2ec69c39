"""Settings: file, environment, errors that name the key, and secrets that stay secret."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

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


def _scalars() -> Iterator[tuple[str, str, object]]:
    """Section, key and default of every setting that is one number, word or switch."""
    for section, default in Settings():
        if isinstance(default, BaseModel):
            for key, value in default:
                if isinstance(value, str | int | float | bool):
                    yield section, key, value


@pytest.mark.parametrize(("section", "key", "value"), [*_scalars()])
def test_any_value_can_be_written_in_the_environment(
    section: str, key: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There everything is text, numbers and switches too."""
    monkeypatch.setenv(f"LOOKSTREAM_{section}__{key}".upper(), str(value))
    assert getattr(getattr(load_settings(), section), key) == value


def test_the_lengths_of_vectors_are_numbers_wherever_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for dim in (64, 128, 256, 512, 768, 1152, 1536, 2048):
        monkeypatch.setenv("LOOKSTREAM_MODELS__DIM", str(dim))
        assert load_settings().models.dim == dim
    for wrong in ("100", "many", "128.5", ""):
        monkeypatch.setenv("LOOKSTREAM_MODELS__DIM", wrong)
        with pytest.raises(
            SettingsError, match=r"models\.dim: .*64, 128, 256, 512, 768, 1152, 1536 or 2048"
        ):
            load_settings()
    monkeypatch.delenv("LOOKSTREAM_MODELS__DIM")
    (tmp_path / "own.toml").write_text("[models]\ndim = 128\n")
    monkeypatch.setenv("LOOKSTREAM_PROFILE", str(tmp_path / "own.toml"))
    assert load_settings().models.dim == 128


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
