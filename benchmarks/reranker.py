"""Rerankers over the same candidates: each catalog left out in turn, and grocery as it is known.

    lookstream bench reranker [DIR...] [--rendered DIR...] [--steps 600] [--seeds 3] [--quick]
        [--work bench-reranker]

Photos are asked of a catalog by pictures alone, and the first 50 products of retrieval are ordered:
as they come, by colour alone, by the packaged reranker (which has learned from photos of grocery
and a rendered catalog), and by small networks of one size, trained on the other catalogs with the
same steps: pointwise, which sees one candidate, and listwise (Pailitao-VL §5) with its parts added
one after the other; by the listwise networks of all seeds averaged, and by those and the packaged
one. Queries by words, those whose product was taken away, and catalogs that show photos in place of
their pictures are trained on as well. Where the identity was trained on the catalog, it is left out
of retrieval and features; `grocery known` has it, and is judged by photos of its test split. What
is rendered and encoded is kept in --work.

The last line is one JSON object; differences are in points (hundredths):

    list_minus_point           average of eight hit rates, listwise over pointwise, not seen
    policy_minus_chunk         the whole of it over chunks alone
    over_linear                I-HR@1 over the packaged one, mean of the catalogs left out, with
                               its 95 % interval over products
    linear; listwise; listwise, averaged; listwise, averaged with linear:
        lift_i_hr_1_unseen     I-HR@1 over retrieval, mean of the catalogs left out
        lift_min               the same in the worst of them
        grocery_lift           the same of grocery known
        nomatch_precision, nomatch_recall   of none, left out, where half the products are taken
                               away, said when it is probable
        nomatch_precision_at_recall   where .7 of them are found
        nomatch_area           area under its ROC curve
        ece, ece_category_max  of first places in grocery known, and in its worst category of 50
                               photos or more
        ece_unseen, brier_unseen   means of the catalogs left out; `_siblings` with a shift by half
                               of the catalog's photos, `ece_of_right` of right probabilities with
                               so few photos
    linear, calibrated; listwise, calibrated; …   the same, calibrated on the other catalogs
    lift_i_hr_1_unseen … nomatch_area   those of listwise
    ece, ece_category_max, ece_unseen   those of listwise, calibrated
    speed_ratio                lists per second of the networks, listwise over pointwise, N = 50
    p50_ms                     a list of 50 with its features
    equivariance               largest change of a score when candidates change places
    table                      catalog -> reranker -> figures, means of the seeds
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch

from benchmarks.reranking.comparisons import Comparisons, exchanged, read_comparisons
from benchmarks.reranking.inputs import inputs
from benchmarks.reranking.judging import (
    AVERAGED,
    CALIBRATED,
    KNOWN,
    LINEAR,
    POLICY,
    TRAINED_ON,
    WITH_LINEAR,
    Catalog,
    Table,
    judge,
    over_linear,
)
from benchmarks.reranking.lists import DEPTH, Lists, joined, judged_lists, training_lists
from benchmarks.reranking.match_tables import tables_of
from benchmarks.reranking.matches import Matches, among_items, describe, listed, match
from benchmarks.reranking.train import CHUNKWISE, POINTWISE, Trained
from models.embedding.encoder import Encoder
from models.embedding.layout import PRIOR_IDENTITY, PartWeights
from models.embedding.load import load_encoder
from models.reranking.chunks import split
from models.synthetic.folder import write_synthetic_catalog
from tests.paths import SHARED
from workers.progress.open import open_progress
from workers.progress.tasks import Progress

DEFAULT_CATALOGS = ("venia", "apc", "dreambooth", "demo_merch", "single_view", "grocery")
PHOTOS, VIEWS, MANY = 600, 4, 300
"""At most so many photos of a split; views of each product, one where there are `MANY`."""
NONE = (
    *("nomatch_precision", "nomatch_recall"),
    *("nomatch_precision_at_recall", "nomatch_area"),
)
CALIBRATION = ("ece", "ece_category_max", "ece_unseen")
RENDERED, SEEDS = "rendered", (11, 23, 31)
EXCHANGES = 2
"""Catalogs to learn from that are made of one by exchanging pictures with photos."""
LEARNED, LEARNED_FROM = 800, 300
"""Lists that others learn from, made of so many photos and so many views."""


def main() -> None:
    """Run it all and print one JSON object last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folders", type=Path, nargs="*", help="catalog folders", metavar="DIR")
    parser.add_argument(
        "--rendered",
        type=Path,
        nargs="*",
        help="rendered catalogs, of which the first is judged; by default three new ones",
    )
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one seed, 60 steps, one rendered")
    parser.add_argument("--work", type=Path, default=Path("bench-reranker"))
    options = parser.parse_args()
    steps, seeds = (60, 1) if options.quick else (options.steps, options.seeds)
    torch.set_num_threads(1)  # the networks are too small for more
    folders = options.folders or [SHARED / name for name in DEFAULT_CATALOGS]
    started = time.monotonic()
    with open_progress() as bars:
        rendered = options.rendered or _render(
            options.work, SEEDS[:1] if options.quick else SEEDS, bars
        )
        encoder = load_encoder("cpu")
        catalogs = read_catalogs(encoder, folders, rendered, options.work / "encoded", bars)
        judged = judge(catalogs, steps, seeds, bars)
        with bars.task("timing"):
            assert judged.network is not None
            timed = timings(catalogs[0], judged.network)
    table = judged.table()
    found = summary(table) | timed
    found["over_linear"] = over_linear(judged)
    found["table"] = table
    found["seconds"] = round(time.monotonic() - started, 1)
    (options.work / "reranker.json").write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    print(orjson.dumps(found).decode())


def _render(work: Path, seeds: Sequence[int], bars: Progress) -> list[Path]:
    folders = [work / f"{RENDERED}-{seed}" for seed in seeds]
    for folder, seed in zip(folders, seeds, strict=True):
        with bars.task(f"rendering {folder.name}") as task:
            write_synthetic_catalog(
                folder, products=300, photos=2, size=224, seed=seed, progress=task
            )
    return folders


def read_catalogs(
    encoder: Encoder, folders: Sequence[Path], rendered: Sequence[Path], cache: Path, bars: Progress
) -> list[Catalog]:
    """Encode all catalogs, what was encoded before is kept in ``cache``.

    Of those that are rendered the first is judged; all are left out then.
    """
    unseen = PartWeights.with_identity(PRIOR_IDENTITY)
    catalogs = []
    for folder in [*folders, *rendered]:
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
        family = RENDERED if folder in rendered else found.name
        trained_on = found.name == TRAINED_ON
        weights = PartWeights.with_identity(0.0) if trained_on else unseen
        one = _catalog(found.name, family, encoder, found, weights)
        catalogs.append(replace(one, judged=None) if folder in rendered[1:] else one)
        if trained_on:
            catalogs.append(_catalog(KNOWN, family, encoder, found, None))
    return catalogs


def _catalog(
    name: str, family: str, encoder: Encoder, found: Comparisons, weights: PartWeights | None
) -> Catalog:
    splits = np.array(found.splits)
    of_views, of_photos = np.flatnonzero(splits == "view"), np.flatnonzero(splits != "view")
    judged = of_photos
    if found.name == TRAINED_ON:
        judged = np.flatnonzero(splits == "test")
        of_photos = (
            np.flatnonzero(splits == "val") if name == KNOWN else np.setdiff1d(of_photos, judged)
        )
        of_views = of_views[:0] if name == KNOWN else of_views
    rng = np.random.default_rng(0)
    some = [judged, *(rng.permutation(rows)[:LEARNED_FROM] for rows in (of_photos, of_views))]
    rows = np.unique(np.concatenate(some))
    tables = tables_of(encoder, found, queries=rows, weights=weights)
    at = {row: number for number, row in enumerate(rows.tolist())}
    asked, photos, views = (
        np.array([at[row] for row in np.sort(one).tolist()], np.intp) for one in some
    )
    learned = [training_lists(tables, np.concatenate([photos, views]), LEARNED, seed=0)]
    for seed in range(EXCHANGES if family != RENDERED and len(of_photos) else 0):
        other, asking = exchanged(encoder, found, of_photos, seed)
        asking = np.sort(rng.permutation(asking)[:LEARNED_FROM])
        tables_of_other = tables_of(encoder, other, queries=asking, weights=weights)
        learned.append(
            training_lists(tables_of_other, np.arange(len(asking)), LEARNED // 2, seed=1 + seed)
        )
    return Catalog(
        name,
        family,
        found,
        tables,
        rows[asked],
        joined(learned),
        judged_lists(tables, asked) if len(asked) else None,
        judged_lists(tables, asked, removed=True) if len(asked) else None,
    )


def summary(table: Table) -> dict[str, Any]:
    """The figures of the JSON object that come from the table."""
    unseen = [name for name in table if name != KNOWN]

    def mean(reranker: str, figure: str) -> float:
        return float(np.mean([table[name][reranker][figure] for name in unseen]))

    def points(one: str, other: str) -> float:
        return round(100 * (mean(one, "average") - mean(other, "average")), 2)

    found: dict[str, Any] = {
        "list_minus_point": points(POLICY, POINTWISE.name),
        "policy_minus_chunk": points(POLICY, CHUNKWISE.name),
    }
    for reranker in (LINEAR, POLICY, AVERAGED, WITH_LINEAR):
        row = found[reranker] = {
            "lift_i_hr_1_unseen": round(mean(reranker, "lift"), 2),
            "lift_min": round(min(table[name][reranker]["lift"] for name in unseen), 2),
        }
        if KNOWN in table:
            row["grocery_lift"] = round(table[KNOWN][reranker]["lift"], 2)
        for figure in NONE:
            if all(figure in table[name][reranker] for name in unseen):
                row[figure] = round(mean(reranker, figure), 4)
        for name in (reranker, f"{reranker}{CALIBRATED}"):
            if all(name in table[catalog] for catalog in unseen):
                row = found.setdefault(name, {})
                for figure in ("ece", "ece_of_right", "brier", "ece_siblings", "brier_siblings"):
                    row[f"{figure}_unseen"] = round(mean(name, figure), 4)
                for figure in ("ece", "ece_category_max") if KNOWN in table else ():
                    if figure in table[KNOWN][name]:
                        row[figure] = round(table[KNOWN][name][figure], 4)
    calibrated = found.get(f"{POLICY}{CALIBRATED}", {})
    told: dict[str, Any] = {key: calibrated[key] for key in CALIBRATION if key in calibrated}
    return {**found, **found[POLICY], **told}


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


if __name__ == "__main__":
    main()
