"""Recognition of identities against contrast: the paper's table in small, and what follows from it.

    python -m benchmarks.embedding CATALOG... [--products 12000] [--passes 6] [--identity-branch]

Renders a studio catalog of its own, cuts everything it learns from into views once, and trains for
each row of the table, on the same pictures, steps and batches: one map on frozen features, or with
--identity-branch the last stages of the network as well. Exams are
pictures alone: test photos of each catalog, and in the studio those of products that nothing was
learned from. Then: the same course with more and more prototypes; each catalog left out of the
lesson; wrong ids, curated; the packaged weights; assignment to a million prototypes. Tables and
plots go to --out, and the last line is one JSON object.

Two hours on two cores; what is in --work is not made again.
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
    appearance_of,
    first_identities,
    part,
    relabelled,
    without_tasks_of,
)
from benchmarks.recognition.bench import STUDIO, Bench, Rates, begin
from benchmarks.recognition.finetune_on_catalog import own_rates
from benchmarks.recognition.noisy import Noisy, recovery_in
from benchmarks.recognition.plots import plot_scaling, plot_table
from benchmarks.recognition.reranked import juices, reranked
from benchmarks.recognition.retrieval_tasks import Rows, TaskFeatures, retrieval_tasks
from benchmarks.recognition.scaling import counts_up_to, fit_power_law
from models.backbone.load import load_backbone
from models.embedding.encoder import load_encoder, packaged_weights
from models.embedding.projection import load_projection
from models.reranking.linear import load_reranker
from models.synthetic.folder import write_synthetic_catalog
from models.training.embedding.feature_cache import Recorded, make_views
from models.training.embedding.identity_tower import Tower
from models.training.embedding.train import begin_tower, identities, library_of
from workers.progress.open import open_progress

GROCERY = "grocery"
RAW = "raw features with colour"
NOISY = 1000
"""Identities of the studio at most that ids are made wrong among."""
STRANGERS, PHOTOS, SEED = 500, 5, 7
"""Products of a studio that nothing was learned from, and photos of each, that are curated."""


def main() -> None:
    """Run it all and print one JSON object last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("catalogs", type=Path, nargs="+", help="folders with train and test photos")
    parser.add_argument("--products", type=int, default=12_000, help="of the studio")
    parser.add_argument("--passes", type=float, default=6.0)
    parser.add_argument(
        "--identity-branch",
        action="store_true",
        help="train the network's tail too: hours",
    )
    parser.add_argument("--work", type=Path, default=Path("bench-embedding/work"))
    parser.add_argument("--out", type=Path, default=Path("bench-embedding"))
    parser.add_argument("--prototypes", type=int, default=1_000_000, help="to assign to")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    with open_progress() as bars:
        bench = begin(
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
    """The table: how it was learned, everything else the same."""
    bench.table[RAW] = {name: task.raw(bench.answers) for name, task in bench.tasks.items()}
    for course in (CONTRAST, IDENTITY, SPARSE):
        tower = bench.teach(course, bench.data, course.name, bench.passes)
        bench.table[course.name] = bench.evaluate_task(tower)
    for shown in _tables(bench.table):
        bench.bars.note(shown)
    contrast = 100 * bench.table[CONTRAST.name][STUDIO]["average"]
    identity = 100 * bench.table[IDENTITY.name][STUDIO]["average"]
    return {
        "identities": bench.data.pictures.identities,
        "contrast_average": round(contrast, 2),
        "id_average": round(identity, 2),
        "id_minus_contrast": round(identity - contrast, 2),
    }


def scaling(bench: Bench, out: Path) -> dict[str, Any]:
    """Recall on the studio's unseen products by the number of prototypes; the same steps each."""
    pictures = bench.data.pictures
    counts = counts_up_to(pictures.identities)
    recall = []
    for count in counts:
        chosen = first_identities(pictures, count)
        less = part(bench.data, chosen)
        passes = bench.passes * pictures.draws.sum() / less.pictures.draws.sum()
        name = f"{count} prototypes" if count < pictures.identities else IDENTITY.name
        tower = bench.teach(IDENTITY, less, name, passes)
        recall.append(bench.tasks[STUDIO].rates(tower, bench.answers)["i_hr_1"])
    law = fit_power_law(counts, recall)
    plot_scaling(counts, recall, law, out / "scaling.png")
    return {
        "scaling": dict(zip(map(str, counts), recall, strict=True)),
        "scaling_exponent": round(law.exponent, 4),
        "scaling_r2": round(law.r2, 4),
    }


def unseen(bench: Bench) -> dict[str, Any]:
    """What learning does for a catalog that was left out, against raw features, in points.

    As it is served: identity counts as far as the encoder knows the catalog, and the look is fitted
    on the others. ``unseen_gain`` without a lesson on it: of the average, or of C-HR@1 where no
    photo shows a known product; ``reranked_gain`` when the packaged reranker, which was fitted on a
    studio for such catalogs, has put the nearest in order; only the axes of its tokens know the
    catalog then. ``own_gain`` after a lesson on its own pictures alone.
    """
    gains, reranked_gains, own, rates = {}, {}, {}, {}
    encoder, reranker = load_encoder(), load_reranker()
    for number, catalog in enumerate(bench.data.catalogs):
        name, catalogs = catalog.folder.name, bench.data.pictures.catalogs
        config = part(bench.data, np.flatnonzero(catalogs != number))
        config, axes = without_tasks_of(config, catalog), appearance_of(config)
        tower = bench.teach(IDENTITY, config, f"without {name}", bench.passes)
        title, rate = (name, "average") if name in bench.tasks else (f"{name} photos", "c_hr_1")
        task, raw = bench.tasks[title], bench.table[RAW][title][rate]
        answers = bench.answers.through(axes)
        library = library_of(tower, config, identities(tower, config))
        similarity, weights = task.similarity(tower, library, answers)
        gains[name] = _points(task.by(similarity)[rate], raw)
        with bench.step(f"comparing {name}") as step:
            juice = juices(task, answers, encoder, step)
            compared = reranked(task, similarity, weights, juice, reranker)
        reranked_gains[name] = _points(compared[rate], raw)
        if name in bench.tasks:
            begun, taught = own_rates(
                catalog,
                axes,
                bench.data.spec,
                bench.work / f"own-{name}",
                bench.phases(f"{name} by its own pictures"),
            )
            rates[name] = {"raw": begun, "taught": taught}
            own[name] = _points(taught["average"], begun["average"])
    return {
        "unseen_gain": gains,
        "unseen_min_gain": min(gains.values()),
        "reranked_gain": reranked_gains,
        "own_gain": own,
        "own_rates": rates,
    }


def _points(rate: float, other: float) -> float:
    return round(100 * (rate - other), 2)


def curation(bench: Bench) -> dict[str, Any]:
    """A fifth of the ids made wrong: what curation finds, and what that gains.

    Found are wrong ids that are called wrong, recovered those of them that are given back. First as
    ``lookstream curate`` does it, with the packaged weights, in a studio of strangers. Then the
    self-loop: the encoder that learned from wrong ids curates, and the one that learned from what
    it curated curates again; beside it, what the same pictures teach under their right ids. As many
    passes there as everywhere, not as many steps: by those it would know the wrong ids of so few
    pictures by heart, and doubt none.
    """
    strangers = bench.work / "strangers"
    with bench.step("rendering strangers") as step:
        write_synthetic_catalog(
            strangers,
            products=STRANGERS,
            photos=PHOTOS,
            seed=SEED,
            progress=step,
        )
    with bench.step("curating strangers") as step:
        curated = recovery_in(strangers, load_encoder(), step)
    number = len(bench.data.catalogs) - 1
    own = part(bench.data, np.flatnonzero(bench.data.pictures.catalogs == number))
    few = part(own, first_identities(own.pictures, NOISY))
    noisy = Noisy.of(few, bench.data.catalogs[number], load_encoder())

    def learned(labels: Rows, name: str) -> tuple[Tower, float]:
        tower = bench.teach(IDENTITY, relabelled(few, labels), name, bench.passes)
        rates = bench.tasks[STUDIO].rates(tower, bench.answers)
        bench.table[f"{few.pictures.identities:,} ids, {name}"] = {STUDIO: rates}
        return tower, rates["average"]

    _, right = learned(noisy.truth, "all right")
    labels, turns = noisy.given, []
    for name in ("a fifth wrong", "a fifth wrong, curated", "a fifth wrong, curated twice"):
        tower, average = learned(labels, name)
        found, recovery = noisy.curated(tower)
        labels = found.labels
        turns.append(
            {
                "average": average,
                "found": recovery.flagged,
                "recovered": recovery.recovered,
                "precision": recovery.precision,
            }
        )
    return {
        "average_all_right": right,
        "self_loop": turns,
        "curation_found": round(curated.flagged, 4),
        "curation_recovered": round(curated.recovered, 4),
        "curation_precision": round(curated.precision, 4),
    }


def packaged(bench: Bench, folders: list[Path]) -> dict[str, Any]:
    """The packaged weights by pictures alone: grocery, and what a prefix of 128 loses."""
    sitting = TaskFeatures()
    tasks = retrieval_tasks([*folders, bench.work / STUDIO], sitting)
    base, spec = packaged_weights("lite2"), bench.data.spec
    axes = load_projection(base, load_backbone(spec).layout.widths)
    with bench.step("looking with the packaged weights") as step:
        store = make_views(
            bench.work / "packaged",
            sitting.sources,
            Recorded(spec),
            axes,
            progress=step,
        )
    tower = begin_tower(replace(bench.data, base=base, store=store), identity_branch=False)[
        0
    ].eval()
    whole = {name: task.served(tower, axes.library, store) for name, task in tasks.items()}
    short = {name: task.served(tower, axes.library, store, 128) for name, task in tasks.items()}
    losses = {name: 100 * (whole[name]["average"] - short[name]["average"]) for name in tasks}
    bench.table["packaged weights"] = whole
    found: dict[str, Any] = {"prefix128_losses": losses, "prefix128_loss": max(losses.values())}
    if GROCERY in whole:
        found["grocery_picture_i_hr_1"] = round(whole[GROCERY]["i_hr_1"], 4)
        found["grocery_picture_c_hr_1"] = round(whole[GROCERY]["c_hr_1"], 4)
    return found


def _tables(table: dict[str, Rates]) -> Iterator[str]:
    """A table for each exam, narrow enough for 80 columns."""
    rates = {f"{kind}_hr_{k}": f"{kind.upper()}@{k}" for kind in "ic" for k in (1, 5, 10)}
    rates["average"] = "mean"
    for task in next(iter(table.values())):
        title = f"{task}, pictures alone: I-HR@k and C-HR@k, %"
        shown = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for name in ("", *rates.values()):
            shown.add_column(name, justify="right" if name else "left", no_wrap=True)
        for course, tasks in table.items():
            shown.add_row(course, *(f"{100 * tasks[task][rate]:.1f}" for rate in rates))
        console = Console(file=StringIO(), width=80)
        with console.capture() as capture:
            console.print(shown)
        yield capture.get()


if __name__ == "__main__":
    main()
