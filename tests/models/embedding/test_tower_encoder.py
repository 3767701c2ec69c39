"""The encoder with a network of a Hugging Face folder: tiny ones of the real classes."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.needs import needs_torch

pytestmark = [needs_torch(), pytest.mark.slow]

import numpy as np

from models.arrays import Floats, unit
from models.backbone.load import exported_towers
from models.embedding.encoder import Encoder
from models.embedding.layout import PartWeights, picture_parts
from models.embedding.load import encoder_id, load_encoder, packaged_weights
from models.embedding.protocol import Encoded
from models.embedding.tower_projection import fixed_projection, own_length
from models.embedding.words_to_pictures import WordsToPictures
from models.errors import ProjectionError, WeightsError
from models.images.files import open_picture
from models.images.letterbox import Picture
from models.juicer.juice import MAX_BYTES, Juice
from models.training.embedding.fit_tower import fit_tower
from tests.doubles.tiny_towers import SENTENCES, library, seeded
from tests.paths import EXAMPLE

PICTURES = [open_picture(path) for path in sorted((EXAMPLE / "photos").glob("*.webp"))[:24]]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("towers")

    def made(name: str) -> Path:
        folder = root / name
        return folder if folder.exists() else seeded(name, folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOOKSTREAM_CACHE", str(root / "cache"))
        yield made


@pytest.fixture(scope="module")
def encoder(folders: Any) -> Encoder:
    return load_encoder("cpu", str(folders("siglip")), threads=1)


def of_transformers(folder: Path, pictures: list[Picture]) -> Floats:
    """Embeddings (n, d) of length 1 by transformers alone."""
    from PIL import Image

    processor = library.AutoImageProcessor.from_pretrained(folder, backend="pil")
    model = library.AutoModel.from_pretrained(folder).eval()
    rows = [
        model.get_image_features(**processor(Image.fromarray(one), return_tensors="pt"))
        .pooler_output.detach()
        .numpy()[0]
        for one in pictures
    ]
    return unit(np.stack(rows))


@pytest.mark.parametrize("name", ["siglip", "clip"])
def test_appearances_are_as_alike_as_transformers_embeddings(folders: Any, name: str) -> None:
    folder = folders(name)
    encoder = load_encoder("cpu", str(folder), threads=1)
    items = np.stack([one.vector for one in encoder.encode_items(PICTURES, [None] * 24)])
    appearances = picture_parts(items)[1]
    wanted = of_transformers(folder, PICTURES)
    assert np.abs(appearances @ appearances.T - wanted @ wanted.T).max() < 1e-4


def test_words_find_pictures_as_in_transformers(folders: Any, encoder: Encoder) -> None:
    folder = folders("siglip")
    items = np.stack([one.vector for one in encoder.encode_items(PICTURES, [None] * 24)])
    tokenizer = library.AutoTokenizer.from_pretrained(folder)
    model = library.AutoModel.from_pretrained(folder).eval()
    plain = PartWeights(words=WordsToPictures())
    for sentence in SENTENCES:
        ids = tokenizer(
            sentence, padding="max_length", max_length=16, truncation=True, return_tensors="pt"
        )
        word = unit(model.get_text_features(ids["input_ids"]).pooler_output.detach().numpy()[0])
        wanted = of_transformers(folder, PICTURES) @ word
        (query,) = encoder.encode_queries([None], [sentence], plain)
        found = items @ query.vector
        assert np.corrcoef(found, wanted)[0, 1] > 0.9999
    assert encoder.reads_words
    assert encoder.part_weights(items).words is not None


def test_an_encoded_picture_with_another_text_has_the_bytes_of_encoding_it_anew(
    encoder: Encoder,
) -> None:
    before = encoder.encode_items(PICTURES[:2], ["a red ball", None])
    known = [Encoded(one.vector, Juice.from_bytes(one.juice.to_bytes())) for one in before]
    again = encoder.encode_items(known, ["a blue ball", "milk"])
    anew = encoder.encode_items(PICTURES[:2], ["a blue ball", "milk"])
    for one, other in zip(again, anew, strict=True):
        assert one.vector.tobytes() == other.vector.tobytes()
        assert one.juice.to_bytes() == other.juice.to_bytes()


@pytest.mark.parametrize("name", ["siglip", "dinov2", "convnext", "timm"])
def test_any_network_makes_items_and_juice(folders: Any, name: str) -> None:
    encoder = load_encoder("cpu", str(folders(name)), threads=1)
    assert encoder.reads_words == (name == "siglip")
    for one in encoder.encode_items([*PICTURES[:3], None], ["milk", None, "fresh apples", "pears"]):
        assert np.linalg.norm(one.vector) == pytest.approx(1, abs=1e-5)
        assert len(one.juice.to_bytes()) <= MAX_BYTES
    (query,) = encoder.encode_queries([PICTURES[0]], [None])
    assert query.vector.shape == (encoder.dim,)
    assert encoder.encode_queries([None], ["milk"])[0].vector.any()


def test_vectors_are_as_long_as_the_network_needs(folders: Any) -> None:
    assert own_length(24) == own_length(384) == 768
    assert own_length(512) == own_length(768) == 1152
    assert own_length(1152) == own_length(1280) == 1536
    for dim in (64, 256, 1152):
        encoder = load_encoder("cpu", str(folders("clip")), threads=1, dim=dim)
        (item,) = encoder.encode_items(PICTURES[:1], ["milk"])
        assert item.vector.shape == (dim,)
    with pytest.raises(WeightsError, match=r"models\.dim is 1152"):
        load_encoder("cpu", "lite0", dim=1152)


def test_the_fixed_rotation_keeps_cosines() -> None:
    rows = unit(np.random.default_rng(0).normal(size=(20, 512)).astype(np.float32))
    turned = fixed_projection(512, 100).rotate(rows)
    assert np.abs(turned @ turned.T - rows @ rows.T).max() < 1e-5


def test_the_model_id_names_the_folder_and_changes_with_its_files(
    folders: Any, tmp_path: Path
) -> None:
    name = str(folders("siglip"))
    found = encoder_id(name)
    assert found == load_encoder("cpu", name, threads=1).model_id
    assert found.startswith("siglip-minilm-768-")
    assert encoder_id(name, dim=256).startswith("siglip-minilm-256-")
    assert encoder_id(str(exported_towers(folders("siglip")))) == found
    (folders("siglip") / "notes.txt").write_text("anything")
    assert encoder_id(name) != found
    (folders("siglip") / "notes.txt").unlink()
    with pytest.raises(ProjectionError, match="no encoder's file"):
        encoder_id(name, tmp_path / "none.safetensors")


def test_what_was_exported_serves_without_torch(folders: Any) -> None:
    exported = exported_towers(folders("siglip"))
    program = f"""
import sys
for name in ("torch", "transformers", "timm", "onnx", "onnxscript"):
    sys.modules[name] = None
from models.embedding.load import load_encoder
encoder = load_encoder("auto", {str(exported)!r}, threads=1)
assert encoder.encode_queries([None], ["a red mug"])[0].vector.any()
print(encoder.model_id)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == encoder_id(str(exported))


def test_a_fitted_rotation_serves_and_keeps_more_in_fewer_values(
    folders: Any, tmp_path: Path
) -> None:
    name, path = str(folders("siglip")), tmp_path / "rotation.safetensors"
    card = fit_tower([EXAMPLE], name, path, limit=80, split="test")
    assert card["pictures"] == {EXAMPLE.name: 80}
    whole = load_encoder("cpu", name, threads=1, projection=path)
    assert whole.model_id != encoder_id(name)

    def cosines(dim: int, projection: Path | None) -> Floats:
        encoder = load_encoder("cpu", name, threads=1, projection=projection, dim=dim)
        items = np.stack([one.vector for one in encoder.encode_items(PICTURES, [None] * 24)])
        appearances = picture_parts(items)[1]
        return appearances @ appearances.T

    exact = cosines(768, None)
    assert np.abs(cosines(768, path) - exact).max() < 1e-4
    errors = [np.abs(cosines(128, one) - exact).mean() for one in (path, None)]
    assert errors[0] < errors[1]
    other = str(folders("dinov2"))
    wider = tmp_path / "other.safetensors"
    fit_tower([EXAMPLE], str(folders("clip")), wider, limit=64, split="test")
    with pytest.raises(ProjectionError, match="lookstream train rotation"):
        load_encoder("cpu", other, threads=1, projection=wider)
    with pytest.raises(ProjectionError, match="no projection for a network from a folder"):
        load_encoder("cpu", other, threads=1, projection=packaged_weights("lite0"))
    with pytest.raises(ProjectionError, match="lookstream train embedding"):
        fit_tower([EXAMPLE], "lite2", wider)
