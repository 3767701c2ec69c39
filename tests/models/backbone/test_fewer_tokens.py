"""Networks whose layers see fewer tokens: as on ONNX Runtime so in torch, and never mixed up."""

from pathlib import Path

import pytest

from tests.needs import needs_torch

pytestmark = [needs_torch(), pytest.mark.slow]

import numpy as np
import torch

from models.arrays import unit
from models.backbone.load import exported_towers, picture_graph
from models.backbone.tower import PictureTower
from models.backbone.tower_cuda import TorchPictureTower
from models.backbone.tower_files import read_card
from models.embedding.load import encoder_id, load_encoder, same_weights
from models.errors import WeightsError
from models.hub.names import EVIT, TOME, Variant
from tests.doubles.tiny_towers import seeded


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKSTREAM_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("method", [EVIT, TOME])
@pytest.mark.parametrize("name", ["siglip", "clip", "dinov2"])
def test_each_patch_has_its_row_and_the_embedding_is_near(
    name: str, method: str, tmp_path: Path
) -> None:
    folder = seeded(name, tmp_path / name)
    exported = exported_towers(folder)
    size = read_card(exported).preprocessing.size
    pictures = np.random.default_rng(0).standard_normal((3, 3, size, size)).astype(np.float32)
    whole = PictureTower(exported, 1)
    fewer = PictureTower(exported, 1, picture_graph(folder, exported, Variant(method)).name)
    in_torch = TorchPictureTower(folder, size, "cpu", fewer_tokens=method).run_batch(pictures)
    for picture, batched in zip(pictures, in_torch, strict=True):
        one, other = whole.run(picture), fewer.run(picture)
        assert one.patches.shape == other.patches.shape
        assert one.attention.shape == other.attention.shape
        assert one.embedding.tobytes() != other.embedding.tobytes()
        assert unit(one.embedding) @ unit(other.embedding) > 0.9
        assert unit(other.embedding) @ unit(batched.embedding) > 0.99
        # Patches that became one token share a row.
        assert len(np.unique(other.patches, axis=0)) < len(other.patches)
        if len(one.attention):
            assert other.attention.sum() == pytest.approx(one.attention.sum(), rel=0.2)


def test_with_weights_of_8_bits_too(tmp_path: Path) -> None:
    folder = seeded("siglip", tmp_path / "siglip")
    exported = exported_towers(folder)
    graph = picture_graph(folder, exported, Variant(TOME, int8=True))
    assert graph.name == "picture-tome-int8.onnx"
    size = read_card(exported).preprocessing.size
    picture = np.random.default_rng(0).standard_normal((3, size, size)).astype(np.float32)
    fewer = PictureTower(exported, 1, picture_graph(folder, exported, Variant(TOME)).name)
    small = PictureTower(exported, 1, graph.name)
    assert unit(fewer.run(picture).embedding) @ unit(small.run(picture).embedding) > 0.99


@pytest.mark.parametrize("name", ["dinov3", "convnext", "timm", "open_clip"])
def test_a_network_of_another_kind_says_so(name: str, tmp_path: Path) -> None:
    folder = seeded(name, tmp_path / name)
    exported = exported_towers(folder)
    with pytest.raises(WeightsError, match=r"\+tome"):
        picture_graph(folder, exported, Variant(TOME))
    assert not list(exported.glob("*tome*"))


def test_an_exported_network_is_what_it_is(tmp_path: Path) -> None:
    exported = exported_towers(seeded("clip", tmp_path / "clip"))
    with pytest.raises(WeightsError, match="keeps all its tokens"):
        load_encoder("cpu", f"{exported}{EVIT}")


def test_it_is_an_encoder_of_its_own(tmp_path: Path) -> None:
    name = str(seeded("siglip", tmp_path / "siglip"))
    encoder = load_encoder("cpu", f"{name}{TOME}", threads=1)
    assert encoder.model_id == encoder_id(f"{name}{TOME}")
    assert encoder.model_id.startswith("siglip_tome-minilm-768-")
    others = [encoder_id(f"{name}{variant}") for variant in ("", EVIT, f"{TOME}+int8")]
    assert not any(same_weights(encoder.model_id, other) for other in others)
    picture = np.random.default_rng(0).integers(0, 255, (90, 70, 3), np.uint8)
    (item,), (again,) = (encoder.encode_items([picture], ["a red mug"]) for _ in range(2))
    assert item.vector.tobytes() == again.vector.tobytes()
    assert torch.isfinite(torch.from_numpy(item.vector)).all()
