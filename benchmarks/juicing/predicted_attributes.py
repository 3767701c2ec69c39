"""Colours and categories predicted from pictures by a catalog's own products: how often rightly.

    python -m benchmarks.juicing.predicted_attributes [--seeds 10] [--products 240]

Half of a catalog's products teach, and those of the others are predicted, with their own word
hidden; a venia style, whose colours are one photo recoloured, is never in both halves. Catalogs:
those of `../shared/data` that name colours or have two categories or more, and a rendered one.
Photos of clothing, which has no products, stand for products. What a catalog names once or twice
can never be predicted; a fixed lexicon (`benchmarks.juicing.colour_terms`) is asked for all that
name a basic colour.

What the words bring is measured where colours are predicted, by words and by pictures: titles of
these products lack the colour, and queries are the whole titles. The last line is one JSON object:

    attributes        by catalog and kind of word: groups, precision with a 95 % interval (groups
                      drawn again), coverage
    attribute_precision_least   the least precision among them
    lexicon           the same of the fixed lexicon, of the pictures that it names
    words_r_1         of these products by their whole titles: R@1 without, and with predicted words
    clean_words_r_1   of the others by their titles, without and with
    i_hr_1, c_hr_1    of photos, without and with
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import orjson

from benchmarks.juicing.colour_terms import SHARE, TERMS, colour_term
from benchmarks.juicing.pictures import Network
from index.item import Item
from models.arrays import Floats
from models.catalog.folder import Catalog, Photo, Product, product_text, read_catalog
from models.embedding.encoder import Encoder
from models.embedding.load import load_encoder
from models.embedding.protocol import Encoded
from models.images.files import open_picture
from models.images.letterbox import Picture
from models.synthetic import write_synthetic_catalog
from models.text.colour_words import COLOUR_WORDS, colour_words
from tests.paths import SHARED
from workers.evidence.predicted_attributes import Suggestion, fit_attributes
from workers.ingest.items import with_colour
from workers.progress.open import open_progress
from workers.progress.tasks import Progress

CATALOGS = ("venia", "clothing", "grocery", "demo_merch", "single_view", "apc", "dreambooth")
EVERY = 5
"""So many of clothing's photos are left out but one."""
DRAWS = 1000
_COLOUR = re.compile(rf"\b({'|'.join(sorted(COLOUR_WORDS))})\b\s*", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Shown:
    """The products of a catalog that have a picture.

    Attributes:
        encoded: their pictures, without words.
        groups: products of one group are never in both halves.
    """

    catalog: Catalog
    products: tuple[Product, ...]
    encoded: tuple[Encoded, ...]
    groups: tuple[str, ...]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.catalog.folder.name


def read_shown(folder: Path, encoder: Encoder, progress: Progress) -> Shown:
    """Read and encode a catalog's products."""
    catalog = read_catalog(folder)
    products = [one for one in catalog.products if one.image] or [
        Product(product_id=one.image, image=one.image, category=one.category)
        for one in catalog.photos[::EVERY]
    ]
    encoded = []
    with progress.task(f"encoding {catalog.folder.name}", len(products)) as task:
        for one in products:
            encoded += encoder.encode_items([_picture(catalog, one)], [None])
            task(len(encoded))
    return Shown(catalog, tuple(products), tuple(encoded), _groups(catalog.folder.name, products))


def _groups(name: str, products: Sequence[Product]) -> tuple[str, ...]:
    """A venia style, or a rendered product with its near duplicates, which follow it."""
    groups: list[str] = []
    for one in products:
        attributes = one.attributes or {}
        own = str(attributes.get("style") or one.product_id) if name == "venia" else one.product_id
        groups.append(groups[-1] if "changed" in attributes else own)
    return tuple(groups)


def as_item(product: Product, encoded: Encoded) -> Item:
    """A product as the index has it."""
    return Item(
        item_id=f"{product.product_id}#0",
        product_id=product.product_id,
        prototype=0,
        vector=encoded.vector,
        payload={"title": product.title, "category": list(product.category)},
        offer={"attributes": product.attributes or {}},
    )


def halves(shown: Shown, seed: int) -> tuple[list[int], list[int]]:
    """Products that teach, and those that are predicted."""
    names = sorted(set(shown.groups))
    order = np.random.default_rng(seed).permutation(len(names))
    teach = {names[at] for at in order[: len(names) // 2]}
    rows = range(len(shown.products))
    return (
        [at for at in rows if shown.groups[at] in teach],
        [at for at in rows if shown.groups[at] not in teach],
    )


def suggestions(shown: Shown, teach: Sequence[int], predicted: Sequence[int]) -> list[Suggestion]:
    """What the first products predict of the others, whose own words are hidden."""
    words = fit_attributes(
        [as_item(shown.products[at], shown.encoded[at]) for at in teach], "model"
    )
    vectors = np.stack([shown.encoded[at].vector for at in predicted])
    nothing = [""] * len(predicted)
    return words.suggest(vectors, nothing, [()] * len(predicted), [{}] * len(predicted))


def one_colour(product: Product) -> str | None:
    """The one colour that a product names; None where there is none, or several."""
    attributes = product.attributes or {}
    named = colour_words(str(attributes.get("colour") or product.title))
    return named[0] if len(named) == 1 else None


def measure_predicted(shown: Shown, seeds: int) -> dict[str, dict[str, Any]]:
    """Precision and coverage of predicted colours, and of predicted categories."""
    cases: dict[str, list[tuple[str, bool | None]]] = defaultdict(list)
    for seed in range(seeds):
        teach, predicted = halves(shown, seed)
        for at, found in zip(predicted, suggestions(shown, teach, predicted), strict=True):
            product, group = shown.products[at], shown.groups[at]
            if colour := one_colour(product):
                right = found.colour == colour if found.colour else None
                cases["colour"].append((group, right))
            if len({tuple(one.category) for one in shown.products}) > 1:
                path = found.category
                agrees = tuple(product.category[: len(path)]) == path if path else None
                cases["category"].append((group, agrees))
    return {kind: summary(some) for kind, some in cases.items()}


def summary(cases: Sequence[tuple[str, bool | None]]) -> dict[str, Any]:
    """Of (group, whether right; None where nothing was predicted)."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for group, right in cases:
        if right is not None:
            counts[group][0] += right
            counts[group][1] += 1
    predicted = sum(count for _, count in counts.values())
    found: dict[str, Any] = {
        "groups": len({group for group, _ in cases}),
        "cases": len(cases),
        "predicted": predicted,
        "coverage": round(predicted / max(1, len(cases)), 3),
    }
    if predicted:
        rows = np.array(list(counts.values()))
        draws = np.random.default_rng(0).integers(len(rows), size=(DRAWS, len(rows)))
        drawn = rows[draws].sum(axis=1)
        low, high = np.quantile(drawn[:, 0] / drawn[:, 1], (0.025, 0.975))
        found["precision"] = round(float(rows[:, 0].sum() / predicted), 3)
        found["interval"] = [round(float(low), 3), round(float(high), 3)]
    return found


def measure_lexicon(shown: Shown, network: Network) -> dict[str, Any]:
    """The fixed lexicon on products that name one basic colour."""
    cases: list[tuple[str, bool | None]] = []
    for product, group in zip(shown.products, shown.groups, strict=True):
        colour = one_colour(product)
        if colour in TERMS:
            term, share = colour_term(_picture(shown.catalog, product), network)
            cases.append((group, term == colour if share >= SHARE else None))
    return summary(cases)


def measure_search(shown: Shown, encoder: Encoder, seeds: int) -> dict[str, Any]:
    """What predicted colours bring where half of the products lack them in their titles."""
    rates: dict[str, list[float]] = defaultdict(list)
    photos = [one for one in shown.catalog.photos if one.product_id in shown.catalog.by_id]
    asked = [encoder.encode_items([_picture(shown.catalog, one)], [None])[0] for one in photos]

    @lru_cache(None)
    def query(words: str) -> Floats:
        return encoder.encode_queries([None], [words])[0].vector

    for seed in range(seeds):
        teach, predicted = halves(shown, seed)
        found = dict(zip(predicted, suggestions(shown, teach, predicted), strict=True))
        lacking = [
            msgspec.structs.replace(one, title=_COLOUR.sub("", one.title).strip())
            if at in found
            else one
            for at, one in enumerate(shown.products)
        ]
        plain = [product_text(one.title, one.description) or "" for one in lacking]
        woven = [
            with_colour(text, found[at].colour) if at in found else text
            for at, text in enumerate(plain)
        ]
        hidden = [at for at in predicted if one_colour(shown.products[at]) and found[at].colour]
        for name, texts in (("without", plain), ("with", woven)):
            paths = [one.category for one in lacking]
            items = encoder.encode_items(shown.encoded, texts, paths)
            vectors = np.stack([one.vector for one in items])
            for key, rows in (("words", hidden), ("clean_words", teach)):
                titles = np.stack([query(shown.products[at].title) for at in rows])
                first = (titles @ vectors.T).argmax(axis=1)
                rates[f"{key} {name}"].append(float((first == np.array(rows)).mean()))
            if photos:
                _photo_rates(rates, name, shown, photos, asked, vectors, encoder)
    return {
        f"{key}_r_1" if "words" in key else key: {
            name: round(float(np.mean(rates[f"{key} {name}"])), 4) for name in ("without", "with")
        }
        for key in ("words", "clean_words", "i_hr_1", "c_hr_1")
        if rates[f"{key} with"]
    }


def _photo_rates(
    rates: dict[str, list[float]],
    name: str,
    shown: Shown,
    photos: Sequence[Photo],
    asked: Sequence[Encoded],
    vectors: Floats,
    encoder: Encoder,
) -> None:
    weights = encoder.part_weights(vectors)
    queries = encoder.encode_queries(list(asked), [None] * len(asked), weights)
    first = (np.stack([one.vector for one in queries]) @ vectors.T).argmax(axis=1)
    best = [shown.products[at] for at in first]
    pairs = list(zip(photos, best, strict=True))
    by_id = shown.catalog.by_id
    rates[f"i_hr_1 {name}"].append(
        float(np.mean([one.product_id == found.product_id for one, found in pairs]))
    )
    rates[f"c_hr_1 {name}"].append(
        float(
            np.mean(
                [by_id[one.product_id or ""].category == found.category for one, found in pairs]
            )
        )
    )


def measure_predicted_attributes(seeds: int, rendered: int, progress: Progress) -> dict[str, Any]:
    """All catalogs; see the module."""
    encoder, network = load_encoder(), Network()
    predicted: dict[str, dict[str, Any]] = {}
    lexicon: dict[str, dict[str, Any]] = {}
    search: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        with progress.task("rendering", rendered) as task:
            write_synthetic_catalog(
                Path(scratch) / "rendered", products=rendered, photos=1, size=224, progress=task
            )
        folders = [SHARED / name for name in CATALOGS if (SHARED / name).is_dir()]
        for folder in (*folders, Path(scratch) / "rendered"):
            shown = read_shown(folder, encoder, progress)
            for kind, one in measure_predicted(shown, seeds).items():
                predicted[f"{shown.name} {kind}"] = one
            named = measure_lexicon(shown, network)
            if named["cases"]:
                lexicon[shown.name] = named
            if shown.name == "venia":
                search = measure_search(shown, encoder, seeds)
    sure = [one["precision"] for one in predicted.values() if "precision" in one]
    return {
        "attribute_precision_least": min(sure, default=None),
        **search,
        "attributes": predicted,
        "lexicon": lexicon,
    }


def _picture(catalog: Catalog, one: Product | Photo) -> Picture:
    return open_picture(Path(catalog.locate(one.image or "")))


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--products", type=int, default=240, help="rendered")
    options = parser.parse_args()
    with open_progress() as progress:
        found = measure_predicted_attributes(options.seeds, options.products, progress)
    print(orjson.dumps(found).decode())


if __name__ == "__main__":
    main()
