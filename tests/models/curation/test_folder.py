"""Documents of a catalog folder, and the clicks that belong to them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.arrays import unit
from models.curation.curate import curate
from models.curation.documents import UNKNOWN
from models.curation.folder import read_documents, with_clicks
from models.embedding.layout import AS_COMPOSED, PartWeights
from models.embedding.protocol import Encoded, SearchEncoder
from models.errors import CatalogError, CurationError
from models.images.letterbox import Picture
from models.juicer.juice import Juice
from models.juicer.packed_matrix import PackedMatrix

COLOURS = {
    "red": (200, 20, 20),
    "green": (20, 180, 30),
    "blue": (20, 30, 190),
    "grey": (99, 99, 99),
}


class MeanColourEncoder(SearchEncoder):
    """Encodes mean colours of pictures and first letters of texts."""

    model_id = "mean-colour"

    def encode_items(
        self,
        pictures: Sequence[Picture | None],
        texts: Sequence[str | None],
        categories: Sequence[Sequence[str]] | None = None,
    ) -> list[Encoded]:
        assert not any(texts)
        return self.encode_queries(pictures, texts)

    def encode_queries(
        self,
        pictures: Sequence[Picture | Encoded | None],
        texts: Sequence[str | None],
        weights: PartWeights = AS_COMPOSED,
    ) -> list[Encoded]:
        found = []
        for picture, text in zip(pictures, texts, strict=True):
            if isinstance(picture, Encoded):
                found.append(picture)
                continue
            vector = np.zeros(8, np.float32)
            juice = Juice()
            if picture is not None:
                vector[:3] = picture.reshape(-1, 3).mean(axis=0) - 80
                juice = Juice(colour_matrix=PackedMatrix.pack(unit(vector[:3])[None]))
            if text:
                vector[3 + ord(text[0]) % 5] = 1
            found.append(Encoded(unit(vector), juice))
        return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    products: list[dict[str, object]] = []
    photos: list[dict[str, object]] = []
    for name, colour in COLOURS.items():
        for number in range(5):
            pixels = np.clip(np.array(colour) + random.integers(-9, 9, (16, 16, 3)), 0, 255)
            image = f"{name}{number}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / image)
            if number:
                split = "train" if number < 4 else "test"
                photos.append({"image": image, "product_id": name, "split": split})
        category = ["Things", "Bright" if name != "grey" else "Dull"]
        products.append(
            {
                "product_id": name,
                "title": f"{name} thing",
                "category": category,
                "image": f"{name}0.png",
            }
        )
    photos[0]["product_id"] = "blue"
    photos[0]["category"] = ["Things", "Bright"]
    photos[5] = {"image": photos[5]["image"], "split": "train", "text": "green one"}
    (tmp_path / "products.jsonl").write_text("\n".join(map(json.dumps, products)))
    (tmp_path / "photos.jsonl").write_text("\n".join(map(json.dumps, photos)))
    return tmp_path


def test_a_folder_is_read_and_curated(folder: Path) -> None:
    reported: list[tuple[int, int]] = []
    docs = read_documents(folder, MeanColourEncoder(), "train", lambda *step: reported.append(step))
    assert reported[-1] == (16, 16)
    assert docs.names == ("blue", "green", "grey", "red")
    assert [view.name for view in docs.views] == ["picture", "colour", "text"]
    # Only products and one photo have words.
    assert docs.views[2].present.sum() == 5
    assert docs.label_categories[2] == ("Things", "Dull")
    unknown = docs.keys.index("green2.png")
    assert docs.labels[unknown] == UNKNOWN
    found = curate(docs)
    assert found.names[found.labels[unknown]] == "green"


def test_another_split_and_all_of_them(folder: Path) -> None:
    assert len(read_documents(folder, MeanColourEncoder(), "test")) == 8
    assert len(read_documents(folder, MeanColourEncoder(), None)) == 20
    with pytest.raises(CatalogError, match="no photo of split"):
        read_documents(folder, MeanColourEncoder(), "night")


def test_a_folder_without_pictures_has_nothing_to_curate(tmp_path: Path) -> None:
    (tmp_path / "products.jsonl").write_text('{"product_id": "a"}\n')
    with pytest.raises(CurationError, match="no pictures"):
        read_documents(tmp_path, MeanColourEncoder())


def test_clicks_find_their_photo_by_name(folder: Path) -> None:
    docs = read_documents(folder, MeanColourEncoder(), "train")
    clicks = [("red1.png", "red", 1), ("red1", "red", 3), ("nobody", "red", 1), ("red2", "?", 1)]
    linked, lost = with_clicks(docs, clicks)
    assert lost == 2
    assert linked.links.documents.tolist() == [docs.keys.index("red1.png")]
    assert linked.links.labels.tolist() == [docs.names.index("red")]
