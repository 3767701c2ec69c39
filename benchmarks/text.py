"""Words in seven languages: do they find products whose titles are English, and with typos?

    python -m benchmarks.text [--text minilm multilingual] [--seed 0]

Each text encoder is measured alone (cosines of its sentence vectors) and as it serves (with
letters, in the text part of the vector). Documents are titles, descriptions and leaf categories of
groceries and synthetic products, in English; queries their titles in six languages, and in English
by other words (`benchmarks.languages`), as they are and with a typo. Own words: the queries of a
language, mistyped, find themselves among those of all products, as in a shop of that language.
Rates are means over both catalogs. The last line is one JSON object: english_r1, foreign_r1,
english_typo_r1, typo_r1 (mean of the seven languages), own_typo_r1 and text_ms of the multilingual
encoder as it serves, the same with _minilm, and all the rest under "encoders".
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from models.arrays import Floats
from models.catalog.typos import mistype
from models.embedding.text_projection import PACKAGED, load_text_projection
from models.text.sentence_encoders import TEXT_MODELS, TextModel
from workers.progress.open import open_progress
from workers.progress.tasks import Progress

CATALOGS = ("grocery", "synthetic")
LANGUAGES = ("en", "de", "fr", "es", "pl", "zh", "ar")
Encode = Callable[[str], Floats]
Product = dict[str, Any]


def read_products(catalog: str) -> list[Product]:
    """The products of a catalog of `benchmarks.languages`."""
    lines = files("benchmarks.languages").joinpath(f"{catalog}.jsonl").read_bytes().splitlines()
    return [orjson.loads(line) for line in lines]


def document(product: Product) -> str:
    """What is indexed of a product."""
    return f"{product['title']}. {product['description']}. {product['category'][-1]}"


def ranks(queries: Floats, documents: Floats) -> NDArray[np.intp]:
    """How many other documents are nearer than the own one, or as near, by query."""
    cosines = queries @ documents.T
    own = np.diagonal(cosines)[:, None]
    found: NDArray[np.intp] = (cosines >= own).sum(axis=1) - 1
    return found


def measure(
    encode: Encode, seed: int, progress: Progress, name: str
) -> dict[str, dict[str, float]]:
    """R@1 and R@5 by language of queries as they are, with a typo, and in a shop of their own."""
    found: dict[str, dict[str, list[float]]] = {}
    task = progress.task(name, len(CATALOGS) * len(LANGUAGES))
    for number, catalog in enumerate(CATALOGS):
        products = read_products(catalog)
        documents = np.stack([encode(document(one)) for one in products])
        for at, language in enumerate(LANGUAGES):
            task(number * len(LANGUAGES) + at)
            typed = [one["queries"][language] for one in products]
            rng = random.Random(seed)
            mistyped = [mistype(one, rng) for one in typed]
            clean, wrong = (np.stack([encode(one) for one in some]) for some in (typed, mistyped))
            for kind, place in (
                ("r1", ranks(clean, documents) < 1),
                ("r5", ranks(clean, documents) < 5),
                ("typo_r1", ranks(wrong, documents) < 1),
                ("typo_r5", ranks(wrong, documents) < 5),
                ("own_typo_r1", ranks(wrong, clean) < 1),
            ):
                found.setdefault(kind, {}).setdefault(language, []).append(float(place.mean()))
    task.finish()
    return {
        kind: {language: round(statistics.fmean(rates), 4) for language, rates in of.items()}
        for kind, of in found.items()
    }


def milliseconds(encode: Encode) -> float:
    """For one query text, the median over all of them, after a warm-up."""
    texts = [text for one in read_products("synthetic") for text in one["queries"].values()]
    encode(texts[0])
    taken = []
    for text in texts:
        started = time.perf_counter()
        encode(text)
        taken.append(time.perf_counter() - started)
    return round(1000 * statistics.median(taken), 2)


def resident_mb() -> float:
    """Memory of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def report_on(model: TextModel, seed: int, progress: Progress) -> dict[str, object]:
    """All that is measured of one encoder."""
    before, started = resident_mb(), time.perf_counter()
    encoder, maps = model.load(), load_text_projection(model.name)
    alone: Encode = lambda text: encoder.encode([text])[0]  # noqa: E731
    serving: Encode = lambda text: maps.encode(text, encoder)  # noqa: E731
    alone("warm")
    load_s, memory = time.perf_counter() - started, resident_mb() - before
    return {
        "alone": measure(alone, seed, progress, f"{model.name} alone"),
        "serving": measure(serving, seed, progress, f"{model.name} with letters"),
        "text_ms": milliseconds(serving),
        "load_s": round(load_s, 2),
        "memory_mb": round(memory),
        "package_mb": round(sum(file.locate().stat().st_size for file in model.files) / 1e6, 1),
        "maps_mb": round(PACKAGED[model.name].stat().st_size / 1e6, 2),
    }


def summary(report: dict[str, Any]) -> dict[str, float]:
    """The figures of an encoder as it serves that stand for all."""
    rates = report["serving"]
    foreign = [rates["r1"][language] for language in LANGUAGES[1:]]
    return {
        "english_r1": rates["r1"]["en"],
        "foreign_r1": round(statistics.fmean(foreign), 4),
        "english_typo_r1": rates["typo_r1"]["en"],
        "typo_r1": round(statistics.fmean(rates["typo_r1"].values()), 4),
        "own_typo_r1": round(statistics.fmean(rates["own_typo_r1"].values()), 4),
        "text_ms": report["text_ms"],
    }


def table(reports: dict[str, Any]) -> str:
    """R@1 in per cent by language, one line a way to search."""
    lines = [f"{'R@1 in per cent':<38}" + "".join(f"{one:>7}" for one in LANGUAGES)]
    for name, report in reports.items():
        for how in ("alone", "serving"):
            for kind in ("r1", "typo_r1", "own_typo_r1"):
                rates = report[how][kind]
                label = f"{name} {'with letters' if how == 'serving' else how}, {kind}"
                lines.append(
                    f"{label:<38}" + "".join(f"{100 * rates[one]:>7.1f}" for one in LANGUAGES)
                )
    return "\n".join(lines)


def measure_text(names: Sequence[str], seed: int, progress: Progress) -> dict[str, Any]:
    """The figures of these encoders, by the keys of the JSON object."""
    reports = {name: report_on(TEXT_MODELS[name], seed, progress) for name in names}
    headline: dict[str, Any] = {}
    for name, report in reports.items():
        suffix = "" if name == "multilingual" else f"_{name}"
        headline |= {f"{key}{suffix}": value for key, value in summary(report).items()}
    return {**headline, "encoders": reports}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", nargs="+", choices=tuple(TEXT_MODELS), default=list(TEXT_MODELS))
    parser.add_argument("--seed", type=int, default=0, help="of the typos")
    parser.add_argument("--quiet", action="store_true")
    options = parser.parse_args(arguments)
    with open_progress(quiet=options.quiet) as progress:
        found = measure_text(options.text, options.seed, progress)
    print(table(found["encoders"]))
    print(orjson.dumps(found).decode())


if __name__ == "__main__":
    main()
