from pathlib import Path

import pytest

from workers.errors import SettingsError
from workers.web.api_keys import make_key, parse_key, read_keys


def test_a_key_is_found_by_its_word_alone(tmp_path: Path) -> None:
    word, key = make_key("shop", ["search", "write"])
    assert word not in str(key)
    file = tmp_path / "keys"
    file.write_text(f"# keys of the shop\n\n{key}\n")
    for keys in (read_keys([str(key)], None), read_keys([], file)):
        assert keys
        assert keys.find(word) == key
        assert keys.find(word[:-1]) is None
        assert keys.find(key.sha256) is None
        assert keys.find("\udcff") is None
    assert not read_keys([], None)


def test_keys_are_never_the_same() -> None:
    assert make_key("a", ["search"])[0] != make_key("a", ["search"])[0]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "shop",
        "shop search",
        "shop search abc",
        f"shop root {'0' * 64}",
        f"sh op search {'0' * 64}",
    ],
)
def test_what_is_no_key_is_named(line: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"web\.keys"):
        parse_key(line, "web.keys")
    file = tmp_path / "keys"
    file.write_text(f"# one\n{line}x\n")
    with pytest.raises(SettingsError, match="line 2"):
        read_keys([], file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_keys([], tmp_path / "none")
