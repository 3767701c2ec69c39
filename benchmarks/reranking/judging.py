"""Rerankers judged on one catalog after the other; networks have learned from the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.reranking.averaged import Scores, average, judged_scores, scores_of
from benchmarks.reranking.comparisons import Comparisons
from benchmarks.reranking.lists import Lists
from benchmarks.reranking.match_tables import Tables
from benchmarks.reranking.matches import FEATURES
from benchmarks.reranking.measures import (
    Judged,
    interval,
    mean_interval,
    no_match,
    no_match_by_order,
)
from benchmarks.reranking.merging import judged_by, none_of, order_by
from benchmarks.reranking.packaged import scores_of_linear
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
from models.reranking.linear import Reranker, load_reranker
from workers.progress.tasks import Progress

TRAINED_ON = "grocery"
"""The identity has seen its training split."""
KNOWN = "grocery known"
VARIANTS = (POINTWISE, CHUNKWISE, WITH_NULL, LISTWISE)
LINEAR, POLICY = "linear", "listwise"
"""The packaged one; all parts of the network, merged by the paper's policy."""
AVERAGED, WITH_LINEAR = "listwise, averaged", "listwise, averaged with linear"
"""Networks of all seeds; and these, as one, with the packaged one."""
CALIBRATED = ", calibrated"
Figures = dict[str, float]
Table = dict[str, dict[str, Any]]
"""Catalog -> reranker -> figures, means of the seeds."""


@dataclass(frozen=True, eq=False)
class Catalog:
    """A catalog in the bench.

    Attributes:
        family: catalogs of one are left out together.
        found, tables: its pictures, and their matches.
        learned: lists for others to learn from.
        judged, removed: lists that it is judged by; None where it has no photos.
    """

    name: str
    family: str
    found: Comparisons
    tables: Tables
    asked: np.ndarray
    learned: Lists
    judged: Lists | None
    removed: Lists | None

    @property
    def categories(self) -> NDArray[np.str_]:
        """The first category of what each of its photos shows, (n,)."""
        return np.array(
            [
                next(iter(self.found.categories[item]), "")
                for item in self.found.products[self.asked].tolist()
            ]
        )


@dataclass(eq=False)
class Found:
    """What was found of all catalogs.

    Attributes:
        rows: catalog -> reranker -> figures of each seed.
        orders: (reranker, seed) -> catalog -> its lists in that order, with probabilities.
        network: a listwise one, the last that was trained.
    """

    rows: dict[str, dict[str, list[Figures]]] = field(default_factory=dict)
    orders: dict[tuple[str, int], dict[str, Judged]] = field(default_factory=dict)
    network: Trained | None = None

    def add(self, one: Catalog, name: str, seed: int, there: Scores, told: Figures) -> None:
        """Add a reranker that has probabilities; ``told`` is how well it tells "none of these"."""
        assert one.judged is not None
        judged = judged_scores(there, one.judged)
        given = calibration_figures(first_places(judged), judged, one.categories)
        rows = self.rows.setdefault(one.name, {}).setdefault(name, [])
        rows.append(_over(judged, _retrieval(one.judged)) | _prefixed(told) | given)
        self.orders.setdefault((name, seed), {})[one.name] = judged

    def table(self) -> Table:
        """Means of the seeds."""
        return {
            catalog: {name: _mean(figures) for name, figures in rows.items()}
            for catalog, rows in self.rows.items()
        }


def judge(catalogs: Sequence[Catalog], steps: int, seeds: int, bars: Progress) -> Found:
    """All rerankers on all catalogs that have photos."""
    found = Found()
    linear = load_reranker()
    judged = [one for one in catalogs if one.judged is not None]
    with bars.task("training on the others") as task:
        done, total = 0, len(judged) * seeds * len(VARIANTS)

        def tick() -> None:
            nonlocal done
            done += 1
            task(done, total)

        for one in judged:
            others = [other.learned for other in catalogs if _apart(one, other)]
            _judge_one(one, others, linear, steps, seeds, found, tick)
            table = found.table()[one.name]
            for name in ("retrieval", LINEAR, POINTWISE.name, POLICY, AVERAGED, WITH_LINEAR):
                bars.note(f"{one.name:<14} {name:<31} {_line(table[name])}")
    _recalibrate(found, {one.name: one.categories for one in judged}, bars)
    return found


def _judge_one(
    one: Catalog,
    others: Sequence[Lists],
    linear: Reranker,
    steps: int,
    seeds: int,
    found: Found,
    tick: Callable[[], None],
) -> None:
    lists, removed = one.judged, one.removed
    assert lists is not None
    assert removed is not None
    retrieval = _retrieval(lists)
    colour = lists.candidates[..., FEATURES.index("colour")].astype(np.float32)
    rows = found.rows.setdefault(one.name, {})
    rows["retrieval"] = [retrieval.figures()]
    rows["colour"] = [_ordered(lists, np.nan_to_num(colour, nan=-1.0)).figures()]
    by_linear, none = scores_of_linear(linear, one.found, one.tables, one.asked, lists.nearest)
    without, none_taken = scores_of_linear(
        linear, one.found, one.tables, one.asked, removed.nearest
    )
    found.add(one, LINEAR, 0, by_linear, no_match(none, none_taken))
    networks = []
    for seed in range(seeds):
        for variant in VARIANTS:
            trained = train(others, variant, steps=steps, seed=seed)
            for name, figures in _figures(trained, variant, lists, removed, retrieval):
                rows.setdefault(name, []).append(figures)
            tick()
        there, taken = scores_of(trained, lists), scores_of(trained, removed)
        networks.append((there, taken))
        told = no_match(none_of(trained, lists), none_of(trained, removed))
        found.add(one, POLICY, seed, there, told)
        found.network = trained
    there, taken = (average(scores) for scores in zip(*networks, strict=True))
    found.add(one, AVERAGED, 0, there, no_match_by_order(there.none, taken.none))
    spreads = there.spread, by_linear.spread
    there, taken = (
        average([network.divided(spreads[0]), packaged.divided(spreads[1])])
        for network, packaged in ((there, by_linear), (taken, without))
    )
    found.add(one, WITH_LINEAR, 0, there, no_match_by_order(there.none, taken.none))


def over_linear(found: Found) -> dict[str, list[float]]:
    """Points of I-HR@1 over linear on the same candidates, mean of the catalogs left out.

    For each reranker, with its 95 % interval; several seeds are averaged query by query.
    """
    linear = found.orders[LINEAR, 0]
    unseen = [name for name in linear if name != KNOWN]
    points = {}
    for reranker in (POLICY, AVERAGED, WITH_LINEAR):
        runs = [by_name for (name, _), by_name in found.orders.items() if name == reranker]
        gained = [
            np.mean([run[name].hits for run in runs], axis=0) - linear[name].hits for name in unseen
        ]
        figures = mean_interval(gained, [linear[name].products for name in unseen])
        points[reranker] = [round(100 * figure, 2) for figure in figures]
    return points


def _recalibrate(found: Found, categories: Mapping[str, NDArray[np.str_]], bars: Progress) -> None:
    """Add rows of rerankers whose first places are calibrated on the other catalogs.

    Those were judged by networks of their own, which have learned from this catalog: of it, three
    numbers know no more than that.
    """
    for (reranker, _), judged in found.orders.items():
        for name, mine in judged.items():
            others = [one for other, one in judged.items() if _foreign(name, other)]
            if others:
                given = calibration_figures(by_others(mine, others), mine, categories[name])
                rows = found.rows[name].setdefault(f"{reranker}{CALIBRATED}", [])
                rows.append(given)
    for name, table in found.table().items():
        for reranker, figures in table.items():
            if reranker.endswith(CALIBRATED):
                bars.note(f"{name:<14} {reranker:<42} {_line(figures)}")


def _foreign(judged: str, other: str) -> bool:
    """Whether they are different catalogs."""
    return judged != other and {judged, other} != {TRAINED_ON, KNOWN}


def _apart(judged: Catalog, other: Catalog) -> bool:
    """Whether a catalog may be learned from where another is judged."""
    return judged.name == KNOWN or judged.family != other.family  # KNOWN: of other photos


def _figures(
    trained: Trained, variant: Variant, lists: Lists, removed: Lists, retrieval: Judged
) -> list[tuple[str, Figures]]:
    """The figures of a network, by each way to merge that it is good for."""
    if variant == CHUNKWISE:
        return [(variant.name, _over(judged_by(trained, lists), retrieval))]
    told = no_match(none_of(trained, lists), none_of(trained, removed))
    nulls = _prefixed(told)
    if variant != LISTWISE:
        return [(variant.name, _over(judged_by(trained, lists), retrieval) | nulls)]
    found = [(f"listwise, {name}", _over(one, retrieval)) for name, one in order_by(trained, lists)]
    found.append((variant.name, _over(judged_by(trained, lists, by="absolute"), retrieval)))
    return found


def _prefixed(told: Figures) -> Figures:
    return {f"nomatch_{name}": value for name, value in told.items()}


def _over(judged: Judged, retrieval: Judged) -> Figures:
    """Figures, with what is gained over retrieval."""
    gained = judged.hits - retrieval.hits
    low, high = interval(gained, judged.products)
    lift = {"lift": 100 * float(gained.mean()), "lift_low": 100 * low, "lift_high": 100 * high}
    return judged.figures() | lift


def _retrieval(lists: Lists) -> Judged:
    return Judged(lists.levels, lists.relevant, lists.products)


def _ordered(lists: Lists, scores: np.ndarray) -> Judged:
    order = np.argsort(-np.where(lists.present > 0, scores, -np.inf), axis=1, kind="stable")
    levels = np.take_along_axis(lists.levels, order, axis=1)
    return Judged(levels, lists.relevant, lists.products)


def _mean(rows: Sequence[Figures]) -> Figures:
    return {key: float(np.mean([row[key] for row in rows if key in row])) for key in rows[-1]}


def _line(figures: Figures) -> str:
    shown = ("i_hr_1", "c_hr_1", "average", "lift", "ece", "ece_siblings", "brier", "nomatch_area")
    return "  ".join(f"{name} {figures[name]:.3f}" for name in shown if name in figures)
