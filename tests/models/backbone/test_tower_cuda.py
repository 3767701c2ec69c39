"""Picture towers in torch and bf16, as CUDA runs them, here on the CPU: as on ONNX Runtime."""

from pathlib import Path

import pytest

from tests.needs import needs_torch

pytestmark = [needs_torch(), pytest.mark.slow]

import numpy as np

from models.arrays import unit
from models.backbone import tower_cuda
from models.backbone.load import exported_towers, picture_tower
from models.backbone.tower import PictureTower
from models.backbone.tower_cuda import TorchPictureTower
from models.backbone.tower_files import read_card
from models.errors import WeightsError
from models.hub.names import Variant
from tests.doubles.tiny_towers import seeded


@pytest.fixture(autouse=True)
def _small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKSTREAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tower_cuda, "FIXED_BATCH", 4)


@pytest.mark.parametrize("name", ["siglip", "clip", "dinov3", "convnext", "timm", "open_clip"])
def test_it_gives_what_onnx_gives_whatever_the_batch(name: str, tmp_path: Path) -> None:
    folder = seeded(name, tmp_path / name)
    exported = exported_towers(folder)
    size = read_card(exported).preprocessing.size
    pictures = np.random.default_rng(0).standard_normal((6, 3, size, size)).astype(np.float32)
    tower = TorchPictureTower(folder, size, "cpu")
    found = tower.run_batch(pictures)
    for one, other in zip(found, PictureTower(exported, 1).run_batch(pictures), strict=True):
        assert one.patches.shape == other.patches.shape
        assert one.attention.shape == other.attention.shape
        assert unit(one.embedding) @ unit(other.embedding) > 0.995
    (alone,) = tower.run_batch(pictures[5:])
    assert alone.embedding.tobytes() == found[5].embedding.tobytes()
    assert tower.run_batch(pictures[:0]) == []


def test_what_is_for_the_cpu_says_so(tmp_path: Path) -> None:
    folder = seeded("siglip", tmp_path / "siglip")
    exported = exported_towers(folder)
    with pytest.raises(WeightsError, match="8 bits are for the CPU"):
        picture_tower(folder, exported, "cuda", 1, Variant(int8=True))
    with pytest.raises(WeightsError, match="an exported network is for the CPU"):
        picture_tower(exported, exported, "cuda", 1)
