"""Encoders from a hub: speed, exactness, words that find pictures, and switching a running shop.

    lookstream bench encoders [--only presets,text,words,switch,fewer,hub] [--products 900]
        [--steps 800]

Presets are built with random weights of their true shapes, exported as a folder is, and timed on
two cores beside lite2. A small SigLIP is trained on rendered products and their captions (five
minutes on one core), and then finds others, which have a picture and no text, by their captions,
over the topics. A shop with lite0 is given that network by `lookstream reindex --backbone` while
queries and changes go on. Renders, the trained network and its catalog stay in --work. The last
line is one JSON object:

    presets                  a table: ms a picture (and of lite2 in turn with it), parameters, MB in
                             memory, the largest difference of ONNX Runtime to torch
    onnx_difference_max      of them all, of embeddings of length 1
    english_r1, foreign_r1   of the multilingual text encoder, with typo_r1 and text_ms, and with
                             _minilm of the other: see `benchmarks.text`
    wordless_products        without a text; none of them was trained on
    wordless_r@1, @5, @10    the share that its caption finds so far up, and how many times that of
                             chance it is: wordless_r@5_over_chance
    wordless_over_chance     the one for 5
    fewer_tokens_speed, fewer_tokens_quality   of layers that see fewer tokens, and of 8 bits: see
                             `benchmarks.towers.fewer_tokens`
    switch_failed            queries that got no list while another encoder took over
    switch_mixed             lists by vectors of two encoders, or by the old one after the new
    switch_lost              changes that the new index does not have
    hub_cases, _wrong        ways in which fetching can go, and those that ended otherwise than said
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import orjson

from benchmarks.text import measure_text
from benchmarks.towers.fewer_tokens import measure_fewer_tokens
from benchmarks.towers.presets import ROUNDS, measure_presets
from benchmarks.towers.switch import switch_encoder
from benchmarks.towers.tiny_siglip import LAYERS, PATCH, pairs_of, train_tiny_siglip
from benchmarks.towers.wordless import ask_for_wordless, wordless_catalog
from models.synthetic.folder import write_synthetic_catalog
from models.text.sentence_encoders import TEXT_MODELS
from tests.hub.cases import CASES
from tests.hub.check import problems
from tests.servers.model_hub import model_hub
from workers.config.settings import Settings, load_settings
from workers.progress.open import open_progress
from workers.progress.tasks import Progress

PARTS = ("presets", "text", "words", "switch", "fewer", "hub")
TRAIN_SEED, TEST_SEED, SIZE = 31, 5, 112
FINE_PATCH, DEEP = 8, 4
"""Of the network whose tokens are made fewer: 64 patches, and layers enough for it."""


def train(
    work: Path, products: int, steps: int, bars: Progress, patch: int = PATCH, layers: int = LAYERS
) -> tuple[Path, dict[str, Any]]:
    """The trained network's folder, trained now if it is not there, and how that went."""
    folder = work / ("tiny-siglip" if patch == PATCH else f"tiny-siglip-{patch}-{layers}")
    if (folder / "model.safetensors").is_file():
        return folder, {"trained": False}
    learned = work / "learned"
    with bars.task("rendering what is learned") as task:
        write_synthetic_catalog(
            learned, products=products, photos=1, seed=TRAIN_SEED, size=SIZE, progress=task
        )
    with bars.task("training", steps) as task:
        figures = train_tiny_siglip(
            pairs_of([learned]), folder, steps=steps, patch=patch, layers=layers, progress=task
        )
    return folder, {"trained": True, **{f"training_{name}": one for name, one in figures.items()}}


def catalogs(work: Path, asked: int, bars: Progress, photos: int = 0) -> Path:
    """A catalog of products that the network has not seen."""
    strangers = work / "strangers"
    with bars.task("rendering what is asked for") as task:
        write_synthetic_catalog(
            strangers, products=asked, photos=photos, seed=TEST_SEED, size=SIZE, progress=task
        )
    return strangers


def check_hub(bars: Progress) -> dict[str, Any]:
    """Play every case of fetching from a hub on loopback."""
    wrong = 0
    with tempfile.TemporaryDirectory() as scratch, model_hub() as hub:
        for number, case in enumerate(bars.track(CASES, "fetching", len(CASES))):
            folder = Path(scratch) / str(number)
            folder.mkdir()
            found = problems(case, hub, folder)
            for problem in found:
                print(f"  WRONG {case.name}: {problem}", file=sys.stderr, flush=True)
            wrong += bool(found)
    return {"hub_cases": len(CASES), "hub_cases_wrong": wrong}


def run(options: argparse.Namespace, settings: Settings, bars: Progress) -> dict[str, Any]:
    """All parts that were asked for: the figures."""
    work, parts = Path(options.work), options.only.split(",")
    work.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    if "presets" in parts:
        found |= measure_presets(options.presets.split(",") if options.presets else None, bars)
    if "text" in parts:
        figures = measure_text(tuple(TEXT_MODELS), 0, bars)
        found |= {name: figure for name, figure in figures.items() if name != "encoders"}
    if "words" in parts or "switch" in parts:
        folder, figures = train(work, options.products, options.steps, bars)
        strangers = catalogs(work, options.asked, bars)
        found |= figures
    if "words" in parts:
        with tempfile.TemporaryDirectory() as scratch:
            captions = wordless_catalog(strangers, Path(scratch))
            found |= ask_for_wordless(settings, folder, Path(scratch), captions, bars)
        found["wordless_over_chance"] = found["wordless_r@5_over_chance"]
    if "switch" in parts:
        found |= switch_encoder(settings, strangers, "lite0", str(folder.resolve()), bars)
    if "fewer" in parts:
        fine, _ = train(work, options.products, options.steps, bars, FINE_PATCH, DEEP)
        found |= measure_fewer_tokens(fine, catalogs(work / "photos", options.asked, bars, 1), bars)
    if "hub" in parts:
        found |= check_hub(bars)
    return found


def main() -> None:
    """Run and print one JSON object last; status 1 if anything failed, was mixed, lost or wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas between them")
    parser.add_argument("--presets", default="", help=f"names; all. Each is run {ROUNDS} times")
    parser.add_argument("--products", type=int, default=900, help="that the network learns from")
    parser.add_argument("--steps", type=int, default=800, help="of training")
    parser.add_argument("--asked", type=int, default=600, help="products that are asked for")
    parser.add_argument("--work", default="bench-encoders", help="what is kept between runs")
    options = parser.parse_args()
    if unknown := set(options.only.split(",")) - set(PARTS):
        parser.error(f"--only takes {', '.join(PARTS)}, not {', '.join(sorted(unknown))}")
    with open_progress() as bars:
        found = run(options, load_settings(), bars)
    print(orjson.dumps(found).decode())
    bad = ("wordless_failed", "switch_failed", "switch_mixed", "switch_lost", "hub_cases_wrong")
    sys.exit(1 if any(found.get(name) for name in bad) else 0)


if __name__ == "__main__":
    main()
