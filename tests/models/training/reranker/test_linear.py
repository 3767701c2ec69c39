import json
import random
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.arrays import Floats
from models.catalog.folder import Product, read_catalog
from models.embedding.layout import AS_COMPOSED, PartWeights
from models.embedding.protocol import Encoded, SearchEncoder
from models.errors import PictureError, RerankerError
from models.images.letterbox import Picture
from models.juicer.juice import Juice
from models.juicer.packed_matrix import EMPTY, PackedMatrix
from models.reranking.linear import Candidate, Reranker, RerankerParameters
from models.training.reranker.linear import fit_reranker
from models.training.reranker.ranking_lists import VIEWS, make_ranking_lists, synthetic_query

COLOURS = 12


class ColourEncoder(SearchEncoder):
    """Encodes a picture of one colour, coarsely as a vector and finely as tokens."""

    model_id = "colour"

    def encode_items(
        self,
        pictures: Sequence[Picture | None],
        texts: Sequence[str | None],
        categories: Sequence[Sequence[str]] | None = None,
    ) -> list[Encoded]:
        return [self.one(picture, text) for picture, text in zip(pictures, texts, strict=True)]

    def encode_queries(
        self,
        pictures: Sequence[Picture | Encoded | None],
        texts: Sequence[str | None],
        weights: PartWeights = AS_COMPOSED,
    ) -> list[Encoded]:
        fresh = [None if isinstance(one, Encoded) else one for one in pictures]
        return [self.weighed(one, weights) for one in self.encode_items(fresh, texts)]

    def weighed(self, query: Encoded, weights: PartWeights) -> Encoded:
        return replace(query, weights=weights)

    def one(self, picture: Picture | None, text: str | None) -> Encoded:
        shade = np.zeros(3) if picture is None else picture.mean(axis=(0, 1)) / 255 - 0.5
        vector = np.array([np.round(shade[0] * 2), 0.5], np.float32)
        vector /= np.linalg.norm(vector)
        shades = PackedMatrix.pack(np.array([[*shade, 0.3]], np.float32))
        words = PackedMatrix.pack(np.array([[1, len(text) / 10]], np.float32)) if text else EMPTY
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


def known_card(parameters: RerankerParameters) -> dict[str, Any]:
    card = parameters.card["known"]
    assert isinstance(card, dict)
    return card


def save(path: Path, colour: np.ndarray) -> str:
    Image.new("RGB", (8, 8), tuple(int(part) for part in colour)).save(path)
    return path.name


@pytest.mark.slow
def test_the_fit_improves_on_retrieval(folder: Path) -> None:
    seen: dict[str, tuple[int, int]] = {}
    parameters = fit_reranker(
        ColourEncoder(),
        [folder],
        progress=lambda what, done, total: seen.update({what: (done, total)}),
    )
    assert seen == {
        f"encoding {folder.name}": (COLOURS + 3 * 6 * COLOURS,) * 2,
        "fitting on picture queries": (5, 5),
        "fitting on text queries": (5, 5),
        "fitting on both queries": (5, 5),
    }
    assert parameters.encoder == "colour"
    card = known_card(parameters)
    report = card["picture"]
    assert report["cross_validated"]["i_hr_1"] > report["retrieval"]["i_hr_1"] + 0.2
    assert 0.0 <= report["cross_validated"]["calibration_error"] <= 1.0
    assert card["queries"] == 6 * COLOURS

    catalog, encoder, reranker = read_catalog(folder), ColourEncoder(), Reranker(parameters)
    lists = make_ranking_lists(encoder, catalog, ["val"], limit=8)
    assert len(lists["both"].products) == 8
    assert lists["both"].features.shape == (8, 2, 6, 7)
    red = encoder.encode_items([np.full((8, 8, 3), (250, 5, 5), np.uint8)], [None])[0]
    blue = encoder.encode_items([np.full((8, 8, 3), (5, 5, 250), np.uint8)], [None])[0]
    ranked = reranker.rerank(
        red, None, [Candidate("blue", 0.5, blue.juice), Candidate("red", 0.5, red.juice)]
    )
    assert ranked[0].index == 1
    assert ranked[0].score > ranked[1].score


class TwoSidedEncoder(ColourEncoder):
    """Retrieves by colour in known catalogs, and at random in unknown ones."""

    def one(self, picture: Picture | None, text: str | None) -> Encoded:
        whole = super().one(picture, text)
        shade = np.zeros(3) if picture is None else picture.mean(axis=(0, 1)) / 255 - 0.5
        return replace(whole, vector=np.array([*shade, 0, 0, 0.5], np.float32))

    def weighed(self, query: Encoded, weights: PartWeights) -> Encoded:
        shares = [weights.identity] * 3 + [1 - weights.identity] * 3
        vector = query.vector * np.array(shares, np.float32)
        return replace(query, vector=vector, weights=weights)


@pytest.mark.slow
def test_parameters_for_unknown_catalogs_are_fitted_on_queries_by_appearance(folder: Path) -> None:
    parameters = fit_reranker(TwoSidedEncoder(), [folder])
    known, unknown = (parameters.card[one] for one in ("known", "unknown"))
    assert isinstance(known, dict)
    assert isinstance(unknown, dict)
    assert known["picture"]["retrieval"]["i_hr_1"] > unknown["picture"]["retrieval"]["i_hr_1"]
    report = unknown["picture"]
    assert report["cross_validated"]["i_hr_1"] > report["retrieval"]["i_hr_1"] + 0.2


@pytest.mark.slow
def test_parameters_for_unknown_catalogs_may_come_from_another_folder(
    folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other, ignore=lambda *_: ["photos.jsonl"])
    here = fit_reranker(TwoSidedEncoder(), [folder])
    there = fit_reranker(TwoSidedEncoder(), [folder], unknown=[other])
    assert there.known == here.known
    assert there.unknown != here.unknown
    card = there.card["unknown"]
    assert isinstance(card, dict)
    assert (card["catalog"], card["queries"]) == ("other", VIEWS * COLOURS)


def test_a_fit_on_an_unknown_catalog_serves_both(folder: Path) -> None:
    class Stranger(TwoSidedEncoder):
        def part_weights(self, items: Floats) -> PartWeights:
            return PartWeights(identity=0.0)

    parameters = fit_reranker(Stranger(), [folder])
    assert parameters.known == parameters.unknown


@pytest.mark.slow
def test_without_photos_views_of_the_products_are_the_queries(folder: Path) -> None:
    with_photos = fit_reranker(ColourEncoder(), [folder])
    (folder / "photos.jsonl").unlink()
    parameters = fit_reranker(ColourEncoder(), [folder])
    assert known_card(parameters)["queries"] == VIEWS * COLOURS
    assert parameters.known.picture != with_photos.known.picture
    again = fit_reranker(ColourEncoder(), [folder])
    assert again.known.picture == parameters.known.picture


@pytest.mark.slow
def test_where_all_photos_are_of_another_split_views_are_the_queries(folder: Path) -> None:
    """As after `train embedding` on a catalog whose photos are kept for tests."""
    photos = folder / "photos.jsonl"
    rows = [{**json.loads(line), "split": "test"} for line in photos.read_text().splitlines()]
    photos.write_text("\n".join(json.dumps(row) for row in rows))
    everything = known_card(fit_reranker(ColourEncoder(), [folder]))
    assert everything["queries"] == VIEWS * COLOURS  # else too few would be left
    assert everything["queries_are"] == "views of the products' pictures"
    held_out = [row for row in rows if row["product_id"] in ("p0", "p1")]
    photos.write_text("\n".join(json.dumps(row) for row in held_out))
    assert known_card(fit_reranker(ColourEncoder(), [folder]))["queries"] == VIEWS * (COLOURS - 2)


def test_what_cannot_be_fitted_says_why(folder: Path) -> None:
    photos = folder / "photos.jsonl"
    rows = [json.loads(line) for line in photos.read_text().splitlines()]
    with pytest.raises(RerankerError, match="no photo of test names a product"):
        fit_reranker(ColourEncoder(), [folder], splits=["test"])
    photos.write_text("\n".join(json.dumps(row) for row in rows if row["product_id"] == "p1"))
    with pytest.raises(RerankerError, match=r"two products.* keep retrieval's order"):
        fit_reranker(ColourEncoder(), [folder])
    (folder / "p0.png").write_bytes(b"no picture")
    with pytest.raises(PictureError, match=r"p0\.png"):
        fit_reranker(ColourEncoder(), [folder])


def test_synthetic_queries_are_the_category_or_the_title_some_with_a_typo() -> None:
    product = Product(product_id="a", title="Granny Smith", category=("Fruit", "Sour-Apple"))
    draw = random.Random(0)
    texts = [synthetic_query(product, draw) for _ in range(300)]
    right = sum(text in {"granny smith", "sour apple"} for text in texts)
    assert 180 < right < 240
    assert len(set(texts)) > 20
    assert synthetic_query(Product(product_id="a"), random.Random(0)) == "anything"


@pytest.mark.slow
def test_of_several_folders_each_is_held_out_whole(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other, ignore=shutil.ignore_patterns("other"))
    rows = (other / "products.jsonl").read_text().splitlines()[:5]  # a smaller catalog
    (other / "products.jsonl").write_text("\n".join(rows))
    held_out: dict[str, tuple[int, int]] = {}
    parameters = fit_reranker(
        ColourEncoder(),
        [folder, other],
        progress=lambda what, done, total: held_out.update({what: (done, total)}),
    )
    assert held_out["fitting on picture queries"] == (2, 2)
    card = known_card(parameters)
    assert card["catalog"] == f"{folder.name} other"
    assert card["queries"] == 6 * COLOURS + 6 * 5
    assert card["picture"]["cross_validated"]["i_hr_1"] > card["picture"]["retrieval"]["i_hr_1"]
    assert parameters.card["command"].startswith(  # type: ignore[attr-defined]
        f"lookstream train reranker {folder.name} other --out FILE"
    )
    assert parameters.known == parameters.unknown
