"""Catalogs that the encoder never saw: what their own evidence gains, each left out in turn.

    lookstream bench catalogs [DIR...] [--quick] [--work bench-catalogs/work] [--out bench-catalogs]

Photos of each catalog are asked of its items by pictures alone: exact search, no reranking, no
words. Appearance and colour are fitted on the other catalogs; where the identity was trained on the
catalog it is left out of the vectors, for all ways to search. A folder without photos is only
learned from. By default the folders are those in ../shared/data, and a rendered one is added. The
last line is one JSON object, with 95 % intervals (over products; over photos where these show
kinds, and C-HR@1 counts in place of I-HR@1):

    served_over_today_mean     part weights by the catalog's own evidence, over what was the default
                               before (approximated: raw features with coarse colour, some identity)
    served_minus_best_single_min  over the best single part of each, in the worst of catalogs
    adapted_over_served_mean, _min  a query map, where its exam passes, over that
    trained_over_adapted_mean  an identity map trained on the catalog's items and four views of
                               each, over the query map, both without the products asked for
    trained_on_all_over_adapted_mean  both with them
    appearance_loss_max        of C-HR@1, by the 384 axes of appearances: against all depths, each
                               counting the same
    NAME_i_hr_1, NAME_c_hr_1   as served
    weigh_seconds              for 1,000 items
    adapt_seconds_1000         encoding four views of 1,000 items, the exam and the map; with the
                               processor time of all threads, and what of it was measured
    table                      catalog -> way to search -> rate -> [value, low, high]

Tables and a plot go to --out. What exists in --work is reused.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
import torch
from threadpoolctl import threadpool_limits

from benchmarks.unseen import variants as by
from benchmarks.unseen.catalog_task import CatalogTask, Limits, read_task
from benchmarks.unseen.features import cached_features
from benchmarks.unseen.left_out import LeftOut, leave_out
from benchmarks.unseen.measured import RATES, Measured, mean_of_first
from benchmarks.unseen.plots import plot_catalogs
from benchmarks.unseen.tables import tables
from benchmarks.unseen.taught import adapted_apart, trained
from benchmarks.unseen.timings import timings
from models.backbone.load import load_backbone
from models.backbone.spec import named_backbone
from models.embedding.layout import PartWeights
from models.embedding.load import encoder_id, packaged_weights
from models.embedding.projection import has_identity_branch, load_projection
from models.synthetic.folder import write_synthetic_catalog
from tests.paths import SHARED
from workers.config.settings import load_settings
from workers.errors import SettingsError
from workers.progress.open import open_progress
from workers.progress.tasks import Progress

BACKBONE = "lite2"
DEFAULT_CATALOGS = (
    *("grocery", "clothing", "apc", "dreambooth", "venia", "demo_merch", "single_view"),
)
SYNTHETIC = "synthetic"
SYNTHETIC_SEED, SYNTHETIC_PHOTOS, SYNTHETIC_SIZE = 11, 2, 224
FEW = Limits(100, 100, 100)
SHOWN = (by.BEFORE, by.SERVED, by.ADAPTED, by.TRAINED, by.TRAINED_APART)


@dataclass
class Bench:
    """Catalogs and what was measured.

    Attributes:
        encoder: the file that identity comes from.
        catalogs: those with queries, each left out.
        fixed: the same weights for all of them that find most, in hindsight.
        table: catalog -> way to search -> rates.
        evidence: what each catalog said of itself.
    """

    encoder: Path
    catalogs: Sequence[LeftOut]
    fixed: PartWeights
    bars: Progress
    table: dict[str, dict[str, Measured]] = field(default_factory=dict)
    evidence: dict[str, by.Evidence] = field(default_factory=dict)

    def differences(self, one: str, other: str) -> dict[str, Measured]:
        """One way to search minus another, in the catalogs that have both."""
        return {
            name: found[one] - found[other]
            for name, found in self.table.items()
            if one in found and other in found
        }


def main() -> None:
    """Run it all and print one JSON object last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folders", type=Path, nargs="*", help="catalog folders", metavar="DIR")
    parser.add_argument("--quick", action="store_true", help="fewer pictures")
    parser.add_argument("--work", type=Path, default=Path("bench-catalogs/work"))
    parser.add_argument("--out", type=Path, default=Path("bench-catalogs"))
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    folders = options.folders or [SHARED / name for name in DEFAULT_CATALOGS]
    torch.set_num_threads(1)  # maps alone are too small for more
    options.out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with open_progress() as bars, threadpool_limits(options.threads):
        bench = prepare(folders, options.work, quick=options.quick, bars=bars)
        search(bench)
        learn_apart(bench)
        with bars.task("timing"):
            timed = timings(bench.catalogs, bench.encoder, options.threads)
        found = summary(bench) | timed
        for line in (line for text in tables(bench.table) for line in text.splitlines()):
            bars.note(line)
        labels = {one.task.name: label_of(one.task) for one in bench.catalogs}
        plot_catalogs(bench.table, labels, SHOWN, single_names(bench), options.out / "catalogs.png")
    found["seconds"] = round(time.monotonic() - started, 1)
    (options.out / "catalogs.json").write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    print(orjson.dumps(found).decode())


def prepare(folders: Sequence[Path], work: Path, *, quick: bool, bars: Progress) -> Bench:
    """Render a catalog, encode all pictures, and leave each catalog out of what is fitted."""
    synthetic = work / (f"quick-{SYNTHETIC}" if quick else SYNTHETIC) / SYNTHETIC
    with bars.task("rendering") as task:
        write_synthetic_catalog(
            synthetic,
            products=100 if quick else 300,
            photos=SYNTHETIC_PHOTOS,
            size=SYNTHETIC_SIZE,
            seed=SYNTHETIC_SEED,
            progress=task,
        )
    folders = [*folders, synthetic]
    names = [folder.resolve().name for folder in folders]
    if len(folders) < 3 or len(set(names)) < len(names):
        raise SettingsError(
            "give two catalog folders or more, of different names: a catalog is left out of what "
            "is fitted on the others"
        )
    encoder = load_settings().models.projection or packaged_weights(BACKBONE)
    spec = named_backbone(BACKBONE)
    if has_identity_branch(encoder):
        spec = replace(spec, identity_branch=encoder)
    model_id, layout = encoder_id(BACKBONE, encoder), load_backbone(spec, threads=1).layout
    packaged = load_projection(encoder, layout.widths)
    trained_on = packaged.card.get("pictures", {})
    assert isinstance(trained_on, dict)
    limits = FEW if quick else Limits()
    tasks = [read_task(folder, list(trained_on), limits) for folder in folders]
    features = []
    for one in tasks:
        with bars.task(f"encoding {one.name}") as task:
            features.append(
                cached_features(work / "features", one.sources, spec, model_id, progress=task)
            )
    learned_from = [rows.of(one.learned_from) for one, rows in zip(tasks, features, strict=True)]
    classes = None if layout.classifier is None else layout.classifier[0]
    catalogs = []
    for at, (one, rows) in enumerate(zip(tasks, features, strict=True)):
        if len(one.queries):
            with bars.task(f"fitting without {one.name}"):
                others = learned_from[:at] + learned_from[at + 1 :]
                catalogs.append(leave_out(one, rows, others, packaged, classes, work / "features"))
    return Bench(encoder, catalogs, by.best_fixed_weights(catalogs), bars)


def search(bench: Bench) -> None:
    """Fill the table with all that needs no training."""
    for one in bench.bars.track(bench.catalogs, "searching", len(bench.catalogs)):
        name = one.task.name
        evidence, found = by.by_evidence(one)
        bench.evidence[name] = evidence
        bench.table[name] = (
            by.single_parts(one) | by.unfitted(one) | by.by_fixed_weights(one, bench.fixed) | found
        )


def learn_apart(bench: Bench) -> None:
    """Training, and what was learned asked for products that were left out of it."""
    for one in bench.bars.track(bench.catalogs, "learning", len(bench.catalogs)):
        name, evidence = one.task.name, bench.evidence[one.task.name]
        if evidence.exam is None or not one.task.has_products:
            continue
        bench.table[name] |= adapted_apart(one, evidence)
        if one.projection.identity is not None:
            bench.table[name] |= trained(one)


def summary(bench: Bench) -> dict[str, Any]:
    """The figures of the last line."""
    found: dict[str, Any] = {}
    for key, one, other in (
        ("served_over_today", by.SERVED, by.BEFORE),
        ("adapted_over_served", by.ADAPTED, by.SERVED),
        ("trained_over_adapted", by.TRAINED_APART, by.ADAPTED_APART),
        ("trained_on_all_over_adapted", by.TRAINED, by.ADAPTED),
    ):
        differences = bench.differences(one, other)
        if differences:
            mean, low, high = mean_of_first(list(differences.values()))
            firsts = [float(each.rates[each.first]) for each in differences.values()]
            found[f"{key}_mean"] = round(mean, 4)
            found[f"{key}_mean_interval"] = [round(low, 4), round(high, 4)]
            found[f"{key}_min"] = round(min(firsts), 4)
            found[f"{key}_catalogs"] = list(differences)
    served = {name: rates[by.SERVED] for name, rates in bench.table.items()}
    singles = single_names(bench)
    best = {
        name: max(float(rates[one].rates[rates[one].first]) for one in singles if one in rates)
        for name, rates in bench.table.items()
    }
    over = {name: float(one.rates[one.first]) - best[name] for name, one in served.items()}
    lost = bench.differences(by.DEPTHS_EQUAL, by.APPEARANCE)
    found |= {
        "served_minus_best_single": {name: round(one, 4) for name, one in over.items()},
        "served_minus_best_single_min": round(min(over.values()), 4),
        "appearance_loss": {name: round(float(one.rates[1]), 4) for name, one in lost.items()},
        "appearance_loss_max": round(max(float(one.rates[1]) for one in lost.values()), 4),
    }
    found |= {
        f"{name}_{RATES[one.first]}": round(float(one.rates[one.first]), 4)
        for name, one in served.items()
    }
    found["best_fixed_weights"] = _shares(bench.fixed)
    found["catalogs"] = {one.task.name: _described(bench, one) for one in bench.catalogs}
    found["table"] = {
        name: {variant: one.report() for variant, one in rates.items()}
        for name, rates in bench.table.items()
    }
    return found


def _described(bench: Bench, one: LeftOut) -> dict[str, Any]:
    evidence, task = bench.evidence[one.task.name], one.task
    exam = evidence.exam
    return {
        "items": len(task.items),
        "queries": len(task.queries),
        "identity": "left out: it was trained on this catalog" if task.seen else "never saw it",
        "prior": _shares(one.prior),
        "weights": _shares(evidence.weighed.weights),
        "exam_gain": None if exam is None else [round(exam.gain, 4), round(exam.error, 4)],
        "adapted": evidence.adapted,
    }


def _shares(weights: PartWeights) -> dict[str, float]:
    parts = {name: getattr(weights, name) for name in ("identity", "appearance", "colour")}
    total = sum(parts.values())
    return {name: round(share / total, 3) for name, share in parts.items()}


def single_names(bench: Bench) -> list[str]:
    """The names of all single parts."""
    depths = len(bench.catalogs[0].features.depths)
    return [
        by.COLOUR,
        by.IDENTITY,
        by.APPEARANCE,
        *(by.depth_alone(number) for number in range(1, depths + 1)),
    ]


def label_of(task: CatalogTask) -> str:
    """What stands below a catalog in the plot."""
    lines = [task.name, f"{len(task.queries)} photos"]
    lines += [] if task.has_products else ["C-HR@1"]
    lines += ["no identity"] if task.seen else []
    return "\n".join(lines)


if __name__ == "__main__":
    main()
