import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.data.catalog import Product, read_catalog
from models.encoded import Encoded, SearchEncoder
from models.episodes import VIEWS, make_episodes, shopper_text
from models.errors import PictureError, RerankerError
from models.juice import EMPTY, Int8Matrix, Juice
from models.picture import Picture
from models.reranker import Candidate, Reranker
from models.reranker_fit import fit_reranker

COLOURS = 12


class ColourEncoder(SearchEncoder):
    """Encodes a picture of one colour, grossly as a vector and finely as tokens."""

    model_id = "colour"

    def encode(
        self,
        pictures: Sequence[Picture | None],
        texts: Sequence[str | None],
        categories: Sequence[Sequence[str]] | None = None,
        *,
        query: bool = False,
    ) -> list[Encoded]:
        return [self.one(picture, text) for picture, text in zip(pictures, texts, strict=True)]

    def one(self, picture: Picture | None, text: str | None) -> Encoded:
        shade = np.zeros(3) if picture is None else picture.mean(axis=(0, 1)) / 255 - 0.5
        vector = np.array([np.round(shade[0] * 2), 0.5], np.float32)
        vector /= np.linalg.norm(vector)
        shades = Int8Matrix.pack(np.array([[*shade, 0.3]], np.float32))
        words = Int8Matrix.pack(np.array([[1, len(text) / 10]], np.float32)) if text else EMPTY
        if picture is None:
            return Encoded(vector, Juice(text_matrix=words))
        return Encoded(vector, Juice(token_matrix=shades, colour_matrix=shades, text_matrix=words))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve plain-coloured products of four kinds; each photo is a tint of one."""
    draw = np.random.default_rng(3)
    products, photos = [], []
    for number in range(COLOURS):
        colour = draw.integers(30, 225, 3)
        products.append(
            {
                "product_id": f"p{number}",
                "title": "paint " + "abcdefghijkl"[number] * 3,
                "category": ["Paint", f"kind{number % 4}"],
                "image": save(tmp_path / f"p{number}.png", colour),
            }
        )
        for shot in range(6):
            tint = np.clip(colour + draw.integers(-8, 9, 3), 0, 255)
            image = save(tmp_path / f"q{number}-{shot}.png", tint)
            split = "train" if shot < 4 else "val"
            photos.append({"image": image, "product_id": f"p{number}", "split": split})
    for name, rows in (("products", products), ("photos", photos)):
        lines = "\n".join(json.dumps(row) for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(lines)
    return tmp_path


def save(path: Path, colour: np.ndarray) -> str:
    Image.new("RGB", (8, 8), tuple(int(part) for part in colour)).save(path)
    return path.name


def test_the_fit_improves_on_retrieval_and_says_so(folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    parameters = fit_reranker(
        ColourEncoder(), folder, progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (COLOURS + 3 * 6 * COLOURS,) * 2
    assert parameters.encoder == "colour"
    card = parameters.card["picture"]
    assert isinstance(card, dict)
    assert card["reranked, products held out"]["i_hr_1"] > card["retrieval"]["i_hr_1"] + 0.2
    assert 0.0 <= card["reranked, products held out"]["calibration_error"] <= 1.0
    assert parameters.card["queries"] == 6 * COLOURS

    catalog, encoder, reranker = read_catalog(folder), ColourEncoder(), Reranker(parameters)
    episodes = make_episodes(encoder, catalog, ["val"], limit=8)
    assert len(episodes["both"].products) == 8
    assert episodes["both"].evidence.shape == (8, 2, 6, 7)
    red = encoder.encode([np.full((8, 8, 3), (250, 5, 5), np.uint8)], [None])[0]
    blue = encoder.encode([np.full((8, 8, 3), (5, 5, 250), np.uint8)], [None])[0]
    ranked = reranker.rerank(
        red, None, [Candidate("blue", 0.5, blue.juice), Candidate("red", 0.5, red.juice)]
    )
    assert ranked[0].index == 1
    assert ranked[0].score > ranked[1].score


def test_without_photos_views_of_the_products_ask(folder: Path) -> None:
    with_photos = fit_reranker(ColourEncoder(), folder)
    (folder / "photos.jsonl").unlink()
    parameters = fit_reranker(ColourEncoder(), folder)
    assert parameters.card["queries"] == VIEWS * COLOURS
    assert parameters.picture != with_photos.picture
    again = fit_reranker(ColourEncoder(), folder)
    assert again.picture == parameters.picture


def test_what_cannot_be_fitted_says_why(folder: Path) -> None:
    photos = folder / "photos.jsonl"
    rows = [json.loads(line) for line in photos.read_text().splitlines()]
    with pytest.raises(RerankerError, match="no photo of test names a product"):
        fit_reranker(ColourEncoder(), folder, splits=["test"])
    photos.write_text("\n".join(json.dumps(row) for row in rows if row["product_id"] == "p1"))
    with pytest.raises(RerankerError, match="two products"):
        fit_reranker(ColourEncoder(), folder)
    (folder / "p0.png").write_bytes(b"no picture")
    with pytest.raises(PictureError, match=r"p0\.png"):
        fit_reranker(ColourEncoder(), folder)


def test_shoppers_name_the_kind_or_the_title_and_mistype_at_times() -> None:
    product = Product(product_id="a", title="Granny Smith", category=("Fruit", "Sour-Apple"))
    draw = random.Random(0)
    said = [shopper_text(product, draw) for _ in range(300)]
    right = sum(text in {"granny smith", "sour apple"} for text in said)
    assert 180 < right < 240
    assert len(set(said)) > 20
    assert shopper_text(Product(product_id="a"), random.Random(0)) == "anything"
