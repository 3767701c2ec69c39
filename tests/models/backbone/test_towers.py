"""Networks of Hugging Face folders: what is exported gives what torch and transformers give."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.needs import needs_torch

pytestmark = [needs_torch(), pytest.mark.slow]

import numpy as np
import open_clip
import timm
import torch
from PIL import Image

from models.backbone import tower_files
from models.backbone.load import exported_towers
from models.backbone.tower import PictureTower, TextTower
from models.backbone.tower_network import load_towers
from models.errors import WeightsError
from models.images.files import open_picture
from tests.doubles.tiny_towers import FOLDERS, SENTENCES, TWO_TOWERS, library, seeded
from tests.paths import EXAMPLE

PICTURES = sorted((EXAMPLE / "photos").glob("*.webp"))[:5]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder of a network, made and exported when it is first asked for."""
    root = tmp_path_factory.mktemp("towers")

    def made(name: str) -> tuple[Path, Path]:
        folder = root / name
        if not folder.exists():
            seeded(name, folder)
        return folder, exported_towers(folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOOKSTREAM_CACHE", str(root / "cache"))
        yield made


def turned(number: int) -> np.ndarray[Any, Any]:
    """A real picture; every other one is upright, and the last is small."""
    picture = open_picture(PICTURES[number])
    if number % 2:
        picture = np.ascontiguousarray(picture.transpose(1, 0, 2))
    return picture[:25, :20] if number == 4 else picture


@pytest.mark.parametrize("name", sorted(FOLDERS))
def test_pictures_give_on_onnx_what_they_give_in_torch(folders: Any, name: str) -> None:
    folder, exported = folders(name)
    card = tower_files.read_card(exported)
    network, _, architecture = load_towers(folder, card.preprocessing.size)
    assert card.architecture == architecture
    tower = PictureTower(exported, threads=1)
    for number in range(len(PICTURES)):
        canvas, _ = card.preprocessing.canvas(turned(number))
        picture = card.preprocessing.normalise(canvas)
        found = tower.run(picture)
        with torch.inference_mode():
            rows, embedding, attention = network(torch.from_numpy(picture)[None])
        assert found.embedding.shape == (card.width,)
        assert found.patches.shape == (card.grid[0] * card.grid[1], card.patch_width)
        assert found.attention.shape == ((len(found.patches),) if card.attention else (0,))
        for one, other in ((found.patches, rows), (found.embedding, embedding)):
            assert np.abs(one - other[0].numpy()).max() < 1e-4
        if card.attention:
            assert np.abs(found.attention - attention[0].numpy()).max() < 1e-5
            assert 0 < found.attention.sum() <= 1 + 1e-5
    assert card.attention == (name not in ("convnext", "timm", "open_clip"))
    assert card.difference < 1e-5


@pytest.mark.parametrize("name", TWO_TOWERS)
def test_words_give_what_transformers_gives(folders: Any, name: str) -> None:
    folder, exported = folders(name)
    card = tower_files.read_card(exported)
    assert card.text is not None
    tokenizer = library.AutoTokenizer.from_pretrained(folder)
    model = library.AutoModel.from_pretrained(folder)
    words = TextTower(exported, card.text, threads=1)
    whole = {"padding": "max_length", "max_length": 16} if name == "siglip" else {"max_length": 16}
    for sentence in (*SENTENCES, "A Red MUG", "x", "longer than the network can read " * 4):
        given = tokenizer(sentence, truncation=True, return_tensors="pt", **whole)["input_ids"]
        assert words.ids(sentence).tolist() == given[0].tolist()
        with torch.inference_mode():
            wanted = model.get_text_features(input_ids=given).pooler_output[0].numpy()
        assert np.abs(words.embed(sentence) - wanted).max() < 1e-4


@pytest.mark.parametrize("name", ["siglip", "clip", "dinov2", "convnext", "dinov3"])
def test_pictures_are_prepared_as_by_transformers(folders: Any, name: str) -> None:
    folder, exported = folders(name)
    processor = library.AutoImageProcessor.from_pretrained(folder, backend="pil")
    check_preparation(exported, lambda picture: processor(picture)["pixel_values"][0])


def test_pictures_are_prepared_as_by_timm(folders: Any) -> None:
    folder, exported = folders("timm")
    config = json.loads((folder / "config.json").read_text())
    library: Any = timm.data
    data = library.resolve_data_config(config["pretrained_cfg"])
    transform = library.create_transform(**data, is_training=False)
    check_preparation(exported, lambda picture: transform(picture).numpy())


def test_open_clip_gives_what_its_own_library_gives(folders: Any) -> None:
    folder, exported = folders("open_clip")
    library: Any = open_clip
    model, _, prepare = library.create_model_and_transforms(f"local-dir:{folder}")
    model.eval()
    card = tower_files.read_card(exported)
    assert card.text is not None
    tower, words = PictureTower(exported, threads=1), TextTower(exported, card.text, threads=1)
    check_preparation(exported, lambda picture: prepare(picture).numpy())
    for number in range(len(PICTURES)):
        picture = prepare(Image.fromarray(turned(number)))
        with torch.inference_mode():
            wanted = model.encode_image(picture[None])[0].numpy()
        # Its branches of training are folded into one.
        assert np.abs(tower.run(picture.numpy()).embedding - wanted).max() < 1e-5
    for sentence in (*SENTENCES, "A Red MUG", "x", "longer than the network can read " * 4):
        ids = words.ids(sentence)
        assert len(ids) == card.text.tokens  # filled up with 0, as open_clip does
        with torch.inference_mode():
            wanted = model.encode_text(torch.from_numpy(ids)[None])[0].numpy()
        assert np.abs(words.embed(sentence) - wanted).max() < 1e-4


def test_an_unknown_kind_of_open_clip_says_so(folders: Any, tmp_path: Path) -> None:
    folder, _ = folders("open_clip")
    config = json.loads((folder / tower_files.OPEN_CLIP_CONFIG).read_text())
    config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "timm/ViT-B-16-SigLIP"
    (tmp_path / tower_files.OPEN_CLIP_CONFIG).write_text(json.dumps(config))
    weights = tower_files.OPEN_CLIP_WEIGHTS
    (tmp_path / weights).symlink_to(folder / weights)
    with pytest.raises(WeightsError, match="of a kind that is not known here"):
        load_towers(tmp_path, 64)


def check_preparation(exported: Path, wanted: Any) -> None:
    preprocessing = tower_files.read_card(exported).preprocessing
    for number in range(len(PICTURES)):
        picture = turned(number)
        canvas, _ = preprocessing.canvas(picture)
        found = preprocessing.normalise(canvas)
        assert np.abs(found - np.asarray(wanted(Image.fromarray(picture)))).max() < 1e-5


def test_an_export_is_made_once_and_is_a_folder_of_its_own(folders: Any) -> None:
    folder, exported = folders("siglip")
    assert exported_towers(folder) == exported
    assert exported_towers(exported) == exported  # copied to a machine without torch
    assert tower_files.fingerprint(exported) == tower_files.fingerprint(folder)
    before = tower_files.fingerprint(folder)
    settings = folder / "preprocessor_config.json"
    written = settings.read_bytes()
    settings.write_bytes(written.replace(b"0.5", b"0.4"))
    assert tower_files.fingerprint(folder) != before
    settings.write_bytes(written)


def broken(folder: Path, change: str) -> str:
    if change == "config":
        (folder / "config.json").unlink()
    elif change == "weights":
        (folder / "model.safetensors").unlink()
    elif change == "damaged":
        (folder / "model.safetensors").write_bytes(b"no tensors")
    elif change == "preparation":
        (folder / "preprocessor_config.json").unlink()
    elif change == "shapes":
        (folder / "preprocessor_config.json").write_text('{"size": {"longest_edge": 384}}')
    elif change == "size":
        (folder / "preprocessor_config.json").write_text('{"size": {"height": 64, "width": 64}}')
    elif change == "tokenizer":
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (folder / name).unlink()
    elif change == "type":
        (folder / "config.json").write_text('{"model_type": "no such thing"}')
    with pytest.raises(WeightsError) as raised:
        exported_towers(folder)
    return str(raised.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("config", r"config\.json"),
        ("weights", r"\*\.safetensors are needed"),
        ("damaged", "can load"),
        ("preparation", r"no preprocessor_config\.json"),
        ("shapes", "one fixed size"),
        ("size", "takes no single picture of 64 × 64"),
        ("tokenizer", r"no tokenizer\.json"),
        ("type", "transformers can load"),
    ],
)
def test_a_folder_that_cannot_be_used_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, said: str
) -> None:
    monkeypatch.setenv("LOOKSTREAM_CACHE", str(tmp_path / "cache"))
    message = broken(seeded("siglip", tmp_path / "network"), change)
    assert re.search(said, message), message
    assert not list((tmp_path / "cache").glob("*/tower.json"))
