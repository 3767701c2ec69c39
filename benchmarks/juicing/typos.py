"""Typos: how many products are still found by words with one, as typed and as repaired.

    python -m benchmarks.juicing.typos [--text minilm] [--seeds 5]

Groceries and synthetic products (`benchmarks.languages`), found by text alone, as it serves:
sentence vector and letters side by side. Queries are titles, and the same products in English by
other words, each with one typo in a word of four letters or more (`models.catalog.typos`). The last
line is one JSON object: typo_loss, points of R@1 of titles between clean and repaired, of the worse
catalog; typo_loss_as_typed, the same unrepaired; clean_loss_repair, what repairing costs queries
without a typo, over titles and other words; vocabulary_ms, for a query word that no product has.
"""

from __future__ import annotations

import argparse
import random
import time
from functools import lru_cache
from typing import Any

import numpy as np
import orjson

from benchmarks.text import CATALOGS, Product, document, ranks, read_products
from models.arrays import Floats
from models.catalog.typos import mistype
from models.embedding.text_projection import load_text_projection
from models.text.sentence_encoders import DEFAULT, TEXT_MODELS, TextModel
from models.text.vocabulary import Vocabulary

LANGUAGES = {"titles": None, "other words": "en"}


def vocabulary_of(products: list[Product], model: TextModel) -> Vocabulary:
    """The words of a catalog, as a query worker has them."""
    made = Vocabulary(model.normalise, model.load().knows)
    for one in products:
        made.add((one["title"], *one["category"]), one["description"])
    return made


def measure_typos(text: str = DEFAULT, seeds: int = 5) -> dict[str, Any]:
    """R@1 by catalog and kind of query: clean, with a typo, and both repaired."""
    model = TEXT_MODELS[text]
    encoder, maps = model.load(), load_text_projection(text)

    @lru_cache(None)
    def encode(words: str) -> Floats:
        return maps.encode(words, encoder)

    found: dict[str, dict[str, float]] = {}
    taken: list[float] = []
    for catalog in CATALOGS:
        products = read_products(catalog)
        documents = np.stack([encode(document(one)) for one in products])
        vocabulary = vocabulary_of(products, model)

        def r1(queries: list[str], documents: Floats = documents) -> float:
            return float((ranks(np.stack([encode(one) for one in queries]), documents) < 1).mean())

        for kind, language in LANGUAGES.items():
            clean = [one["queries"][language] if language else one["title"] for one in products]
            rates: dict[str, list[float]] = {"typo": [], "typo_repaired": []}
            for seed in range(seeds):
                rng = random.Random(seed)
                wrong = [mistype(one, rng) for one in clean]
                began = time.perf_counter()
                right = [vocabulary.repair(one) for one in wrong]
                taken.append((time.perf_counter() - began) / len(wrong))
                rates["typo"].append(r1(wrong))
                rates["typo_repaired"].append(r1(right))
            found[f"{catalog} by {kind}"] = {
                "clean": round(r1(clean), 4),
                "clean_repaired": round(r1([vocabulary.repair(one) for one in clean]), 4),
                **{name: round(float(np.mean(some)), 4) for name, some in rates.items()},
            }
    titles = [rates for name, rates in found.items() if name.endswith("titles")]
    return {
        "typo_loss": _points(max(one["clean"] - one["typo_repaired"] for one in titles)),
        "typo_loss_as_typed": _points(max(one["clean"] - one["typo"] for one in titles)),
        "clean_loss_repair": _points(
            max(one["clean"] - one["clean_repaired"] for one in found.values())
        ),
        "vocabulary_ms": round(1000 * float(np.median(taken)), 2),
        "typos": found,
    }


def _points(share: float) -> float:
    return round(100 * share, 2)


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", choices=tuple(TEXT_MODELS), default=DEFAULT)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    print(orjson.dumps(measure_typos(options.text, options.seeds)).decode())


if __name__ == "__main__":
    main()
