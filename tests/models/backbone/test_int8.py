"""Picture towers in 8 bits: near enough, and never taken for the network in fp32."""

from pathlib import Path

import pytest

from tests.needs import needs_torch

pytestmark = [needs_torch(), pytest.mark.slow]

import numpy as np

from models.arrays import unit
from models.backbone.load import exported_towers, int8_graph
from models.backbone.tower import PictureTower
from models.backbone.tower_files import INT8_GRAPH, PICTURE_GRAPH, read_card
from models.embedding.load import encoder_id, load_encoder, same_weights
from models.errors import WeightsError
from tests.doubles.tiny_towers import seeded


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKSTREAM_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", ["siglip", "clip", "dinov3", "convnext", "open_clip"])
def test_embeddings_are_nearly_those_of_fp32(name: str, tmp_path: Path) -> None:
    exported = exported_towers(seeded(name, tmp_path / name))
    size = read_card(exported).preprocessing.size
    pictures = np.random.default_rng(0).standard_normal((4, 3, size, size)).astype(np.float32)
    whole, small = (
        PictureTower(exported, 1, graph) for graph in (PICTURE_GRAPH, int8_graph(exported).name)
    )
    for picture in pictures:
        one, other = whole.run(picture), small.run(picture)
        assert one.patches.shape == other.patches.shape
        assert unit(one.embedding) @ unit(other.embedding) > 0.99
    made = (exported / INT8_GRAPH).stat().st_mtime_ns
    assert int8_graph(exported).stat().st_mtime_ns == made


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
    with pytest.raises(WeightsError, match="lite2 has no weights of 8 bits"):
        load_encoder("cpu", "lite2+int8")
