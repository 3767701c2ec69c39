"""Rerankers over the same candidates: each catalog left out in turn, and grocery as it is known.

    lookstream bench reranker [DIR...] [--rendered DIR] [--steps 450] [--seeds 3] [--quick]
        [--work bench-reranker]

Photos are asked of a catalog by pictures alone, and the first 50 products of retrieval are ordered:
as they come, by colour alone, by the packaged reranker (which has learned from photos of grocery
and a rendered catalog), and by small networks of one size, trained on the other catalogs with the
same steps: pointwise, which sees one candidate, and listwise (Pailitao-VL §5) with its parts added
one after the other. Queries by words, and those whose product was taken away, are trained on as
well. Where the identity was trained on the catalog, it is left out of retrieval and features;
`grocery known` has it, and is judged by photos of its test split.

The last line is one JSON object; differences are in points (hundredths):

    list_minus_point           average of eight hit rates, listwise over pointwise, not seen
    policy_minus_chunk         the whole of it over chunks alone
    lift_i_hr_1_unseen         I-HR@1 over retrieval, mean of the catalogs left out
    lift_min                   the same in the worst of them
    grocery_lift               the same of grocery known
    ece, ece_category_max      of first places in grocery known, and in its worst category
    ece_unseen                 mean of the catalogs left out
    nomatch_precision, nomatch_recall   of NULL, left out, where half the products are taken away
    nomatch_area               area under its ROC curve
    linear                     lift_i_hr_1_unseen and the like of the packaged reranker
    linear, calibrated; listwise, calibrated   first places calibrated on the other catalogs:
                               ece, brier; `_siblings` with a shift by half of the catalog's photos,
                               `ece_of_right` of right probabilities with so few photos
    speed_ratio                lists per second of the networks, listwise over pointwise, N = 50
    p50_ms                     a list of 50 with its features
    equivariance               largest change of a score when candidates change places
    table                      catalog -> reranker -> figures, means of the seeds
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch

from benchmarks.reranking.comparisons import Comparisons, read_comparisons
from benchmarks.reranking.inputs import inputs
from benchmarks.reranking.lists import DEPTH, Lists, judged_lists, training_lists
from benchmarks.reranking.match_tables import Tables, tables_of
from benchmarks.reranking.matches import FEATURES, Matches, among_items, describe, listed, match
from benchmarks.reranking.measures import Judged, interval, no_match
from benchmarks.reranking.merging import judged_by, none_of, order_by
from benchmarks.reranking.packaged import judged_by_linear
from benchmarks.reranking.recalibrated import by_others, calibration_figures, first_places
from benchmarks.reranking.train import (
    CHUNKWISE,
    LISTWISE,
    POINTWISE,
    WITH_NULL,
    Trained,
    Variant,
    train,
)
from models.embedding.encoder import Encoder
from models.embedding.layout import PRIOR_IDENTITY, PartWeights
from models.embedding.load import load_encoder
from models.evaluation.calibration_error import calibration_error
from models.reranking.chunks import split
from models.reranking.linear import load_reranker
from models.synthetic.folder import write_synthetic_catalog
from tests.paths import SHARED
from workers.progress.open import open_progress
from workers.progress.tasks import Progress

DEFAULT_CATALOGS = ("venia", "apc", "dreambooth", "demo_merch", "single_view", "grocery")
TRAINED_ON = "grocery"
"""The identity has seen its training split."""
KNOWN = "grocery known"
PHOTOS, VIEWS, MANY = 600, 4, 300
"""At most so many photos of a split; views of each product, one where there are `MANY`."""
ASKED, LEARNED = 300, 800
"""Queries that judge a catalog, and lists that others learn from."""
VARIANTS = (POINTWISE, CHUNKWISE, WITH_NULL, LISTWISE)
POLICY = "listwise"
"""All parts, merged by the paper's policy."""
IN_CATEGORY = 50
Figures = dict[str, float]


@dataclass(frozen=True, eq=False)
class Catalog:
    """A catalog in the bench.

    Attributes:
        found, tables: its pictures, and their matches.
        learned: lists for others to learn from.
        judged, removed: lists that it is judged by; None where it has no photos.
    """

    name: str
    found: Comparisons
    tables: Tables
    asked: np.ndarray
    learned: Lists
    judged: Lists | None
    removed: Lists | None


def main() -> None:
    """Run it all and print one JSON object last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folders", type=Path, nargs="*", help="catalog folders", metavar="DIR")
    parser.add_argument("--rendered", type=Path, help="a rendered catalog; by default a new one")
    parser.add_argument("--steps", type=int, default=450)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one seed, 60 steps")
    parser.add_argument("--work", type=Path, default=Path("bench-reranker"))
    options = parser.parse_args()
    steps, seeds = (60, 1) if options.quick else (options.steps, options.seeds)
    torch.set_num_threads(1)  # the networks are too small for more
    folders = options.folders or [SHARED / name for name in DEFAULT_CATALOGS]
    started = time.monotonic()
    with open_progress() as bars:
        rendered = options.rendered or _render(options.work / "rendered", bars)
        encoder = load_encoder("cpu")
        catalogs = read_catalogs(encoder, [*folders, rendered], options.work / "encoded", bars)
        table, one = judge(catalogs, steps, seeds, bars)
        with bars.task("timing"):
            timed = timings(catalogs[0], one)
    found = summary(table) | timed
    found["table"] = table
    found["seconds"] = round(time.monotonic() - started, 1)
    (options.work / "reranker.json").write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    print(orjson.dumps(found).decode())


def _render(folder: Path, bars: Progress) -> Path:
    with bars.task("rendering") as task:
        write_synthetic_catalog(folder, products=300, photos=2, size=224, seed=11, progress=task)
    return folder


def read_catalogs(
    encoder: Encoder, folders: Sequence[Path], cache: Path, bars: Progress
) -> list[Catalog]:
    """Encode all catalogs, what was encoded before is kept in ``cache``."""
    unseen = PartWeights.with_identity(PRIOR_IDENTITY)
    catalogs = []
    for folder in folders:
        with bars.task(f"encoding {folder.name}") as task:
            found = read_comparisons(
                encoder,
                folder,
                photos=PHOTOS,
                views=VIEWS,
                many=MANY,
                cache=cache,
                progress=task,
            )
        trained_on = found.name == TRAINED_ON
        weights = PartWeights.with_identity(0.0) if trained_on else unseen
        catalogs.append(_catalog(found.name, encoder, found, weights, trained_on=trained_on))
        if trained_on:
            catalogs.append(_catalog(KNOWN, encoder, found, None, trained_on=True))
    return catalogs


def _catalog(
    name: str,
    encoder: Encoder,
    found: Comparisons,
    weights: PartWeights | None,
    *,
    trained_on: bool,
) -> Catalog:
    splits = np.array(found.splits)
    of_views, of_photos = np.flatnonzero(splits == "view"), np.flatnonzero(splits != "view")
    if trained_on:
        judged = np.flatnonzero(splits == "test")
        known = splits == "val" if name == KNOWN else splits != "test"
        of_photos = np.flatnonzero(known & (splits != "view"))
        of_views = of_views[:0] if name == KNOWN else of_views
    else:
        judged = of_photos
    rng = np.random.default_rng(0)
    some = [rng.permutation(rows)[:ASKED] for rows in (judged, of_photos, of_views)]
    rows = np.unique(np.concatenate(some))
    tables = tables_of(encoder, found, queries=rows, weights=weights)
    at = {row: number for number, row in enumerate(rows.tolist())}
    asked, photos, views = (
        np.array([at[row] for row in np.sort(one).tolist()], np.intp) for one in some
    )
    learned = np.concatenate([photos, views])
    return Catalog(
        name,
        found,
        tables,
        rows[asked],
        training_lists(tables, learned, LEARNED, seed=0),
        judged_lists(tables, asked) if len(asked) else None,
        judged_lists(tables, asked, removed=True) if len(asked) else None,
    )


def judge(
    catalogs: Sequence[Catalog], steps: int, seeds: int, bars: Progress
) -> tuple[dict[str, dict[str, Any]], Trained]:
    """Figures of each catalog by each reranker, and one listwise network."""
    table: dict[str, dict[str, Any]] = {}
    firsts: dict[tuple[str, int], dict[str, Judged]] = {}
    linear = load_reranker()
    judged = [one for one in catalogs if one.judged is not None]
    with bars.task("training on the others") as task:
        done, total = 0, len(judged) * seeds * len(VARIANTS)
        for one in judged:
            lists, removed = one.judged, one.removed
            assert lists is not None
            assert removed is not None
            others = [other.learned for other in catalogs if _apart(one.name, other.name)]
            rows: dict[str, list[Figures]] = {}
            retrieval = Judged(lists.levels, lists.relevant, lists.products)
            rows["retrieval"] = [retrieval.figures()]
            colour = lists.candidates[..., FEATURES.index("colour")].astype(np.float32)
            rows["colour"] = [_ordered(lists, np.nan_to_num(colour, nan=-1.0)).figures()]
            by_linear = [
                judged_by_linear(linear, one.found, one.tables, one.asked, taken=taken)
                for taken in (False, True)
            ]
            rows["linear"] = [
                _over(by_linear[0][0], retrieval)
                | {f"nomatch_{k}": v for k, v in no_match(by_linear[0][1], by_linear[1][1]).items()}
            ]
            firsts.setdefault(("linear", 0), {})[one.name] = by_linear[0][0]
            rows["linear"][0] |= calibration_figures(first_places(by_linear[0][0]), by_linear[0][0])
            for seed in range(seeds):
                for variant in VARIANTS:
                    trained = train(others, variant, steps=steps, seed=seed)
                    if variant == LISTWISE:
                        by_seed = firsts.setdefault((POLICY, seed), {})
                        by_seed[one.name] = judged_by(trained, lists)
                    for name, found in _figures(trained, variant, lists, removed, retrieval):
                        rows.setdefault(name, []).append(found)
                    done += 1
                    task(done, total)
                    if variant == LISTWISE and one.name == KNOWN:
                        _by_category(rows[POLICY][-1], trained, one)
            table[one.name] = {name: _mean(found) for name, found in rows.items()}
            for name in ("retrieval", "linear", POINTWISE.name, POLICY):
                bars.note(f"{one.name:<14} {name:<10} {_line(table[one.name][name])}")
    _recalibrate(table, firsts, bars)
    return table, trained


def _recalibrate(
    table: dict[str, dict[str, Any]],
    firsts: Mapping[tuple[str, int], Mapping[str, Judged]],
    bars: Progress,
) -> None:
    """Add rows of rerankers whose first places are calibrated on the other catalogs.

    Those were judged by networks of their own, which have learned from this catalog: of it, three
    numbers know no more than that.
    """
    for name, by_reranker in table.items():
        found: dict[str, list[Figures]] = {}
        for (reranker, _), judged in firsts.items():
            others = [one for other, one in judged.items() if _foreign(name, other)]
            if others:
                given = by_others(judged[name], others)
                row = calibration_figures(given, judged[name])
                found.setdefault(f"{reranker}, calibrated", []).append(row)
        for reranker, rows in found.items():
            by_reranker[reranker] = _mean(rows)
            bars.note(f"{name:<14} {reranker:<22} {_line(by_reranker[reranker])}")


def _foreign(judged: str, other: str) -> bool:
    """Whether they are different catalogs."""
    return judged != other and {judged, other} != {TRAINED_ON, KNOWN}


def _apart(judged: str, other: str) -> bool:
    """Whether a catalog may be learned from where another is judged."""
    if judged == KNOWN:
        return True  # by other photos
    return other != judged and not (judged == TRAINED_ON and other == KNOWN)


def _figures(
    trained: Trained, variant: Variant, lists: Lists, removed: Lists, retrieval: Judged
) -> list[tuple[str, Figures]]:
    """The figures of a network, by each way to merge that it is good for."""
    if variant == CHUNKWISE:
        return [(variant.name, _over(judged_by(trained, lists), retrieval))]
    told = no_match(none_of(trained, lists), none_of(trained, removed))
    nulls = {f"nomatch_{name}": value for name, value in told.items()}
    if variant != LISTWISE:
        return [(variant.name, _over(judged_by(trained, lists), retrieval) | nulls)]
    found = [(f"listwise, {name}", _over(one, retrieval)) for name, one in order_by(trained, lists)]
    found.append((variant.name, _over(judged_by(trained, lists, by="absolute"), retrieval)))
    return [*found, (POLICY, _over(judged_by(trained, lists), retrieval) | nulls)]


def _over(judged: Judged, retrieval: Judged) -> Figures:
    """Figures, with what is gained over retrieval."""
    gained = judged.hits - retrieval.hits
    low, high = interval(gained, judged.products)
    lift = {"lift": 100 * float(gained.mean()), "lift_low": 100 * low, "lift_high": 100 * high}
    return judged.figures() | lift


def _ordered(lists: Lists, scores: np.ndarray) -> Judged:
    order = np.argsort(-np.where(lists.present > 0, scores, -np.inf), axis=1, kind="stable")
    levels = np.take_along_axis(lists.levels, order, axis=1)
    return Judged(levels, lists.relevant, lists.products)


def _by_category(figures: Figures, trained: Trained, one: Catalog) -> None:
    """The largest calibration error of a category with enough queries."""
    assert one.judged is not None
    judged = judged_by(trained, one.judged)
    assert judged.levels_of is not None
    first = judged.levels_of[:, 0, 0].astype(np.float64)
    kinds = np.array([one.found.categories[item][0] for item in one.judged.products.tolist()])
    figures["ece_category_max"] = max(
        calibration_error(first[kinds == kind], judged.hits[kinds == kind] > 0)
        for kind in np.unique(kinds)
        if (kinds == kind).sum() >= IN_CATEGORY
    )


def _mean(rows: Sequence[Figures]) -> Figures:
    return {key: float(np.mean([row[key] for row in rows if key in row])) for key in rows[-1]}


def _line(figures: Figures) -> str:
    shown = ("i_hr_1", "c_hr_1", "average", "lift", "ece", "ece_siblings", "brier", "nomatch_area")
    return "  ".join(f"{name} {figures[name]:.3f}" for name in shown if name in figures)


def summary(table: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The figures of the JSON object that come from the table."""
    unseen = [name for name in table if name != KNOWN]

    def mean(reranker: str, figure: str) -> float:
        return float(np.mean([table[name][reranker][figure] for name in unseen]))

    def points(one: str, other: str) -> float:
        return round(100 * (mean(one, "average") - mean(other, "average")), 2)

    found: dict[str, Any] = {
        "list_minus_point": points(POLICY, POINTWISE.name),
        "policy_minus_chunk": points(POLICY, CHUNKWISE.name),
        "lift_i_hr_1_unseen": round(mean(POLICY, "lift"), 2),
        "lift_min": round(min(table[name][POLICY]["lift"] for name in unseen), 2),
        "ece_unseen": round(mean(POLICY, "ece"), 4),
        "linear": {
            "lift_i_hr_1_unseen": round(mean("linear", "lift"), 2),
            "lift_min": round(min(table[name]["linear"]["lift"] for name in unseen), 2),
            "ece_unseen": round(mean("linear", "ece"), 4),
            "nomatch_area": round(mean("linear", "nomatch_area"), 4),
        },
    }
    for reranker in ("linear", "linear, calibrated", "listwise, calibrated"):
        if all(reranker in table[name] for name in unseen):
            row = found.setdefault(reranker, {})
            for figure in ("ece", "ece_of_right", "brier", "ece_siblings", "brier_siblings"):
                row[f"{figure}_unseen"] = round(mean(reranker, figure), 4)
    for figure in ("precision", "recall", "area"):
        found[f"nomatch_{figure}"] = round(mean(POLICY, f"nomatch_{figure}"), 4)
    if KNOWN in table:
        known = table[KNOWN][POLICY]
        found["grocery_lift"] = round(known["lift"], 2)
        found["ece"] = round(known["ece"], 4)
        found["ece_category_max"] = round(known["ece_category_max"], 4)
    return found


def timings(catalog: Catalog, trained: Trained) -> dict[str, float]:
    """Speed of networks on one list of `DEPTH`, and how much the order of candidates matters."""
    lists = catalog.learned
    (row,) = np.flatnonzero(lists.present.all(axis=1))[:1]
    some = Lists(*(getattr(lists, name)[row : row + 1] for name in Lists.__dataclass_fields__))
    chunks, alone = split(DEPTH), np.arange(DEPTH)[:, None]
    listwise = _median_ms(lambda: trained.scores(some, chunks))
    pointwise = _median_ms(lambda: trained.scores(some, alone))
    items = [catalog.found.items[at] for at in range(min(DEPTH, len(catalog.found.items)))]
    query = catalog.found.queries[0]
    vectors = np.stack([one.vector for one in items])

    def features() -> None:
        described = describe(vectors, [one.juice for one in items])
        asked = describe(query.vector[None], [query.juice])
        pair, in_query = match(asked, vectors @ query.vector, None, described)
        matches = Matches(pair, in_query, *among_items(described), catalog.tables.shares)
        inputs(listed(matches)[None], catalog.tables.shares[None])

    turned = chunks[:, ::-1]
    s, _, _ = trained.scores(some, chunks)
    mirrored, _, _ = trained.scores(some, turned)
    return {
        "speed_ratio": round(pointwise / listwise, 2),
        "p50_ms": round(listwise + _median_ms(features), 2),
        "network_ms": round(listwise, 2),
        "equivariance": float(np.abs(s - mirrored[..., ::-1]).max()),
    }


def _median_ms(run: Callable[[], Any]) -> float:
    took = []
    for _ in range(30):
        began = time.perf_counter()
        run()
        took.append(time.perf_counter() - began)
    return 1000 * float(np.median(took))
