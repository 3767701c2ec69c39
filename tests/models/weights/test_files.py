from pathlib import Path

import numpy as np
import orjson
import pytest
from safetensors.numpy import save_file

from models.errors import WeightsError
from models.weights.files import (
    Tensors,
    read_weights,
    replacing,
    tensor_names,
    write_tensors,
    write_weights,
)

OLD, NEW = ({"rows": np.full((2, 3), value, np.float16)} for value in (1, 2))


def same(tensors: Tensors, expected: Tensors) -> bool:
    return tensors.keys() == expected.keys() and all(
        (tensors[name] == expected[name]).all() for name in expected
    )


def test_weights_are_read_back_with_their_card(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.safetensors"
    scalar: Tensors = {"step": np.array(7, np.int64), "turned": np.ones((2, 3), np.float32).T}
    write_weights(path, OLD | scalar, {"format": 1, "of": ["a", 0.5]})
    tensors, card = read_weights(path)
    assert same(tensors, OLD | scalar)
    assert tensors["step"].shape == ()
    assert card == {"format": 1, "of": ["a", 0.5]}
    assert orjson.loads(path.with_suffix(".json").read_bytes()) == card
    assert tensor_names(path) == {"rows", "step", "turned"}
    assert sorted(one.name for one in path.parent.iterdir()) == ["a.json", "a.safetensors"]


def test_tensors_alone_have_nothing_beside_them(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, OLD, {"step": 3})
    assert read_weights(path)[1] == {"step": 3}
    assert list(tmp_path.iterdir()) == [path]


def test_a_card_only_beside_the_weights_is_read_there(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(OLD, path)
    with pytest.raises(FileNotFoundError):
        read_weights(path)
    path.with_suffix(".json").write_bytes(b'{"format": 2}')
    assert read_weights(path)[1] == {"format": 2}
    path.with_suffix(".json").write_bytes(b"[2]")
    with pytest.raises(WeightsError, match="no JSON object"):
        read_weights(path)


@pytest.mark.parametrize("renames", [0, 1])
def test_a_crash_on_the_way_leaves_a_pair_that_belongs_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    """Before the first of the two renames it is the old pair, after it the new one."""
    path = tmp_path / "a.safetensors"
    write_weights(path, OLD, {"known_weight": 0.1})
    left = [*range(renames)]
    replace = Path.replace

    def crash(self: Path, target: Path) -> Path:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            write_weights(path, NEW, {"known_weight": 0.2})
    tensors, card = read_weights(path)
    assert same(tensors, NEW if renames else OLD)
    assert card == {"known_weight": 0.2 if renames else 0.1}
    assert len([*tmp_path.iterdir()]) == 2


def test_a_block_that_fails_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")

    def write_half() -> None:
        with replacing(path) as part:
            part.write_text("ne")
            raise ValueError("half")

    with pytest.raises(ValueError, match="half"):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_damaged_and_missing_files_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    assert tensor_names(path) == frozenset()
    with pytest.raises(FileNotFoundError):
        read_weights(path)
    path.write_bytes(b"{")
    assert tensor_names(path) == frozenset()
    with pytest.raises(WeightsError):
        read_weights(path)
