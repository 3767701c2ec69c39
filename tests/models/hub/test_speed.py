"""How long encoders take: measured once a machine, kept, and never in the way of listing."""

from pathlib import Path

import pytest

from models.errors import HubError
from models.hub import speed
from models.hub.reasons import Reason


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOOKSTREAM_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Networks that take no time; the names of those that were loaded."""
    loaded: list[str] = []

    def load(name: str):  # type: ignore[no-untyped-def]
        loaded.append(name)
        return lambda: None

    monkeypatch.setattr(speed, "_packaged", load)
    return loaded


def test_a_speed_is_kept_for_this_machine(instant: list[str]) -> None:
    assert speed.known_speeds() == {}
    measured = speed.measure("lite0")
    assert speed.known_speeds() == {"lite0": measured}
    assert instant == ["lite0", speed.REFERENCE]
    speed.measure("lite2")
    assert set(speed.known_speeds()) == {"lite0", "lite2"}


def test_another_machine_has_its_own(instant: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    speed.measure("lite0")
    monkeypatch.setattr(speed, "serving_threads", lambda: 99)
    assert speed.known_speeds() == {}


def test_a_damaged_file_is_measured_anew(instant: list[str], cache: Path) -> None:
    (cache / "speeds.json").write_bytes(b"{")
    assert speed.known_speeds() == {}
    assert speed.measure("lite0").ms >= 0


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "find_spec", lambda name: None)
    with pytest.raises(HubError, match=r"lookstream\[hub\]") as error:
        speed.measure("dinov2-small")
    assert error.value.reason == Reason.EXTRA


@pytest.mark.slow
@pytest.mark.torch
def test_a_preset_is_measured_without_being_here() -> None:
    measured = speed.measure("mobilenetv4-medium")
    assert measured.ms > 0
    assert measured.of_reference > 0
