"""Identification against contrastive learning: a small version of the paper's ablations.

    lookstream bench embedding CATALOG... [--products 12000] [--passes 6] [--identity-branch]

Renders a synthetic catalog, augments all training pictures once, and trains every variant on the
same pictures, steps and batches: one linear map on frozen features, or with --identity-branch the
last stages of the network as well. Queries are pictures without text: the test photos of each
catalog, which in the synthetic one show products that are not trained on. Then: the same variant
with more and more prototypes (scaling); each catalog left out of training (generalisation); noisy
ids, curated; the packaged weights; assignment to a million prototypes. Tables and plots go to
--out, and the last line is one JSON object.

Two hours on two cores; what exists in --work is reused.
"""

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from benchmarks.assign import compare
from benchmarks.recognition.ablations import (
    CONTRAST,
    IDENTITY,
    SPARSE,
    first_identities,
    subset,
    with_labels,
    with_refitted_appearance,
    without_validation_on,
)
from benchmarks.recognition.bench import SYNTHETIC, Bench, Rates, prepare_bench
from benchmarks.recognition.finetune_on_catalog import fine_tuned_rates
from benchmarks.recognition.noisy import NoisyCatalog, recovery_in_folder
from benchmarks.recognition.plots import plot_scaling, plot_table
from benchmarks.recognition.reranked import juice_of, reranked_rates
from benchmarks.recognition.retrieval_tasks import Rows, TaskPictures, retrieval_tasks
from benchmarks.recognition.scaling import counts_up_to, fit_power_law
from models.backbone.load import load_backbone
from models.embedding.load import load_encoder, packaged_weights
from models.embedding.projection import load_projection
from models.reranking.linear import load_reranker
from models.synthetic.folder import write_synthetic_catalog
from models.training.embedding.build_library import build_library, encode_identities
from models.training.embedding.feature_cache import CacheSettings, build_cache
from models.training.embedding.identity_tower import IdentityTower
from models.training.embedding.initial_tower import initial_tower
from workers.progress.open import open_progress

GROCERY = "grocery"
RAW = "raw features with colour"
NOISY_IDENTITIES = 1000
"""Identities of the synthetic catalog whose ids are corrupted, at most."""
UNSEEN_PRODUCTS, UNSEEN_PHOTOS, UNSEEN_SEED = 500, 5, 7
"""A synthetic catalog that is not trained on, to be curated: its products, photos of each, seed."""


def main() -> None:
    """Run it all and print one JSON object last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("catalogs", type=Path, nargs="+", help="folders with train and test photos")
    parser.add_argument("--products", type=int, default=12_000, help="of the synthetic catalog")
    parser.add_argument("--passes", type=float, default=6.0)
    parser.add_argument(
        "--identity-branch",
        action="store_true",
        help="train the last stages of the network too: hours",
    )
    parser.add_argument("--work", type=Path, default=Path("bench-embedding/work"))
    parser.add_argument("--out", type=Path, default=Path("bench-embedding"))
    parser.add_argument("--prototypes", type=int, default=1_000_000, help="to assign to")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    with open_progress() as bars:
        bench = prepare_bench(
            options.catalogs,
            options.products,
            options.passes,
            options.identity_branch,
            options.work,
            bars,
        )
        found = recognition(bench) | scaling(bench, options.out) | unseen(bench)
        found |= curation(bench) | packaged(bench, options.catalogs)
        plot_table(bench.table, options.out / "table.png")
        with (
            threadpool_limits(options.threads),
            tempfile.TemporaryDirectory(prefix="lookstream-assign-") as folder,
        ):
            assigned = compare(
                Path(folder), options.prototypes, 20_000, 1000, options.threads, 0, bars
            )
    found |= {"assign_per_s": assigned["assign_per_s"], "table": bench.table}
    (options.out / "embedding.json").write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    print(orjson.dumps(found).decode())


def recognition(bench: Bench) -> dict[str, Any]:
    """The table of variants, everything else being equal."""
    bench.table[RAW] = {name: task.raw(bench.task_views) for name, task in bench.tasks.items()}
    for variant in (CONTRAST, IDENTITY, SPARSE):
        tower = bench.train(variant, bench.data, variant.name, bench.passes)
        bench.table[variant.name] = bench.evaluate(tower)
    for line in (line for table in _tables(bench.table) for line in table.splitlines()):
        bench.bars.note(line)
    contrast = 100 * bench.table[CONTRAST.name][SYNTHETIC]["average"]
    identity = 100 * bench.table[IDENTITY.name][SYNTHETIC]["average"]
    return {
        "identities": bench.data.pictures.identities,
        "contrast_average": round(contrast, 2),
        "id_average": round(identity, 2),
        "id_minus_contrast": round(identity - contrast, 2),
    }


def scaling(bench: Bench, out: Path) -> dict[str, Any]:
    """Recall on unseen synthetic products by the number of prototypes, after the same steps."""
    pictures = bench.data.pictures
    counts = counts_up_to(pictures.identities)
    recall = []
    for count in counts:
        chosen = first_identities(pictures, count)
        data = subset(bench.data, chosen)
        passes = bench.passes * pictures.draws.sum() / data.pictures.draws.sum()
        name = f"{count} prototypes" if count < pictures.identities else IDENTITY.name
        tower = bench.train(IDENTITY, data, name, passes)
        recall.append(bench.tasks[SYNTHETIC].rates(tower, bench.task_views)["i_hr_1"])
    law = fit_power_law(counts, recall)
    plot_scaling(counts, recall, law, out / "scaling.png")
    return {
        "scaling": dict(zip(map(str, counts), recall, strict=True)),
        "scaling_exponent": round(law.exponent, 4),
        "scaling_r2": round(law.r2, 4),
    }


def unseen(bench: Bench) -> dict[str, Any]:
    """Gains in a catalog that was left out of training, over raw features, in percentage points.

    Measured as served: identities are weighted by how well the encoder knows the catalog, and the
    appearance is fitted on the other catalogs. ``unseen_gain``: of the average, or of C-HR@1 where
    no photo shows a known product. ``reranked_gain``: after the packaged reranker, whose parameters
    for unknown catalogs were fitted on a synthetic one; only the axes of its tokens were fitted
    with this catalog. ``own_gain``: after fine-tuning on the catalog's own pictures alone.
    """
    gains, reranked_gains, own, rates = {}, {}, {}, {}
    encoder, reranker = load_encoder(), load_reranker()
    for number, catalog in enumerate(bench.data.catalogs):
        name, catalogs = catalog.folder.name, bench.data.pictures.catalogs
        data = subset(bench.data, np.flatnonzero(catalogs != number))
        data, axes = without_validation_on(data, catalog), with_refitted_appearance(data)
        tower = bench.train(IDENTITY, data, f"without {name}", bench.passes)
        title, rate = (name, "average") if name in bench.tasks else (f"{name} photos", "c_hr_1")
        task, raw = bench.tasks[title], bench.table[RAW][title][rate]
        views = bench.task_views.with_projection(axes)
        library = build_library(tower, data, encode_identities(tower, data))
        similarity, weights = task.similarity(tower, library, views)
        gains[name] = _percentage_points(task.by(similarity)[rate], raw)
        with bench.step(f"reranking {name}") as step:
            juice = juice_of(task, views, encoder, step)
            after = reranked_rates(task, similarity, weights, juice, reranker)
        reranked_gains[name] = _percentage_points(after[rate], raw)
        if name in bench.tasks:
            before, trained = fine_tuned_rates(
                catalog,
                axes,
                bench.data.spec,
                bench.work / f"own-{name}",
                bench.phases(f"{name} by its own pictures"),
            )
            rates[name] = {"raw": before, "trained": trained}
            own[name] = _percentage_points(trained["average"], before["average"])
    return {
        "unseen_gain": gains,
        "unseen_min_gain": min(gains.values()),
        "reranked_gain": reranked_gains,
        "own_gain": own,
        "own_rates": rates,
    }


def _percentage_points(rate: float, other: float) -> float:
    return round(100 * (rate - other), 2)


def curation(bench: Bench) -> dict[str, Any]:
    """A fifth of the ids corrupted: how many curation finds, and what that gains.

    Found are wrong ids that are flagged, recovered those of them that are corrected. First as
    ``lookstream curate`` does it, with the packaged weights, in a synthetic catalog that was not
    trained on. Then the self-loop: the encoder trained on noisy ids curates them, and the encoder
    trained on the result curates again; for comparison, one is trained on the clean ids. All train
    for as many passes as everywhere, not as many steps: in those it would memorise the wrong ids of
    so few pictures.
    """
    unseen_catalog = bench.work / "unseen"
    with bench.step("rendering unseen products") as step:
        write_synthetic_catalog(
            unseen_catalog,
            products=UNSEEN_PRODUCTS,
            photos=UNSEEN_PHOTOS,
            seed=UNSEEN_SEED,
            progress=step,
        )
    with bench.step("curating unseen products") as step:
        curated = recovery_in_folder(unseen_catalog, load_encoder(), step)
    number = len(bench.data.catalogs) - 1
    own = subset(bench.data, np.flatnonzero(bench.data.pictures.catalogs == number))
    few = subset(own, first_identities(own.pictures, NOISY_IDENTITIES))
    noisy = NoisyCatalog.of(few, bench.data.catalogs[number], load_encoder())

    def train_on(labels: Rows, name: str) -> tuple[IdentityTower, float]:
        tower = bench.train(IDENTITY, with_labels(few, labels), name, bench.passes)
        rates = bench.tasks[SYNTHETIC].rates(tower, bench.task_views)
        bench.table[f"{few.pictures.identities:,} ids, {name}"] = {SYNTHETIC: rates}
        return tower, rates["average"]

    _, clean = train_on(noisy.truth, "clean")
    labels, rounds = noisy.given, []
    for name in ("a fifth wrong", "a fifth wrong, curated", "a fifth wrong, curated twice"):
        tower, average = train_on(labels, name)
        found, recovery = noisy.curated(tower)
        labels = found.labels
        rounds.append(
            {
                "average": average,
                "found": recovery.flagged,
                "recovered": recovery.recovered,
                "precision": recovery.precision,
            }
        )
    return {
        "average_all_right": clean,
        "self_loop": rounds,
        "curation_found": round(curated.flagged, 4),
        "curation_recovered": round(curated.recovered, 4),
        "curation_precision": round(curated.precision, 4),
    }


def packaged(bench: Bench, folders: list[Path]) -> dict[str, Any]:
    """The packaged weights on pictures alone: grocery, and the loss of 128 values against all."""
    pictures = TaskPictures()
    tasks = retrieval_tasks([*folders, bench.work / SYNTHETIC], pictures)
    base, spec = packaged_weights("lite2"), bench.data.spec
    axes = load_projection(base, load_backbone(spec).layout.widths)
    with bench.step("encoding with the packaged weights") as step:
        cache = build_cache(
            bench.work / "packaged",
            pictures.sources,
            CacheSettings(spec),
            axes,
            progress=step,
        )
    tower = initial_tower(replace(bench.data, base=base, cache=cache), identity_branch=False)[
        0
    ].eval()
    whole = {name: task.served(tower, axes.library, cache) for name, task in tasks.items()}
    short = {name: task.served(tower, axes.library, cache, 128) for name, task in tasks.items()}
    losses = {name: 100 * (whole[name]["average"] - short[name]["average"]) for name in tasks}
    bench.table["packaged weights"] = whole
    found: dict[str, Any] = {"prefix128_losses": losses, "prefix128_loss": max(losses.values())}
    if GROCERY in whole:
        found["grocery_picture_i_hr_1"] = round(whole[GROCERY]["i_hr_1"], 4)
        found["grocery_picture_c_hr_1"] = round(whole[GROCERY]["c_hr_1"], 4)
    return found


def _tables(table: dict[str, Rates]) -> Iterator[str]:
    """A table for each retrieval task, within 80 columns."""
    rates = {f"{kind}_hr_{k}": f"{kind.upper()}@{k}" for kind in "ic" for k in (1, 5, 10)}
    rates["average"] = "mean"
    for task in next(iter(table.values())):
        title = f"{task}, pictures alone: I-HR@k and C-HR@k, %"
        grid = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for name in ("", *rates.values()):
            grid.add_column(name, justify="right" if name else "left", no_wrap=True)
        for variant, tasks in table.items():
            grid.add_row(variant, *(f"{100 * tasks[task][rate]:.1f}" for rate in rates))
        console = Console(file=StringIO(), width=80)
        with console.capture() as capture:
            console.print(grid)
        yield capture.get()


if __name__ == "__main__":
    main()
