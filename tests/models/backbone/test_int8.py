"""Picture towers in 8 bits: near enough, and never taken for the network in fp32."""

from pathlib import Path

import pytest

from tests.needs import needs_torch

pytestmark = [needs_torch(), pytest.mark.slow]

import numpy as np

from models.arrays import unit
from models.backbone.load import exported_towers, picture_graph
from models.backbone.tower import PictureTower
from models.backbone.tower_files import read_card
from models.embedding.load import encoder_id, load_encoder, same_weights
from models.errors import WeightsError
from models.hub.names import Variant
from tests.doubles.tiny_towers import seeded

INT8 = Variant(int8=True)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKSTREAM_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", ["siglip", "clip", "dinov3", "convnext", "open_clip"])
def test_embeddings_are_nearly_those_of_fp32(name: str, tmp_path: Path) -> None:
    folder = seeded(name, tmp_path / name)
    exported = exported_towers(folder)
    size = read_card(exported).preprocessing.size
    pictures = np.random.default_rng(0).standard_normal((4, 3, size, size)).astype(np.float32)
    whole, small = (
        PictureTower(exported, 1, picture_graph(folder, exported, variant).name)
        for variant in (Variant(), INT8)
    )
    for picture in pictures:
        one, other = whole.run(picture), small.run(picture)
        assert one.patches.shape == other.patches.shape
        assert unit(one.embedding) @ unit(other.embedding) > 0.99
    made = picture_graph(folder, exported, INT8).stat().st_mtime_ns
    assert picture_graph(folder, exported, INT8).stat().st_mtime_ns == made


def test_it_is_an_encoder_of_its_own(tmp_path: Path) -> None:
    name = str(seeded("siglip", tmp_path / "siglip"))
    encoder = load_encoder("cpu", f"{name}+int8", threads=1)
    assert encoder.model_id == encoder_id(f"{name}+int8")
    assert encoder.model_id.startswith("siglip_int8-minilm-768-")
    assert not same_weights(encoder.model_id, encoder_id(name))
    picture = np.random.default_rng(0).integers(0, 255, (90, 70, 3), np.uint8)
    (item,), (again,) = (encoder.encode_items([picture], ["a red mug"]) for _ in range(2))
    assert item.vector.tobytes() == again.vector.tobytes()


def test_a_packaged_network_has_none() -> None:
    with pytest.raises(WeightsError, match="lite2 is served as it is: leave out \\+int8"):
        load_encoder("cpu", "lite2+int8")
