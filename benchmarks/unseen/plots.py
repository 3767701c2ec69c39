"""The plot of `bench catalogs`: what each way of searching finds in each catalog left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.unseen.measured import Measured

MARKS = (("#9a9a9a", "s"), ("#4c72b0", "o"), ("#dd8452", "D"), ("#c44e52", "^"), ("#55a868", "v"))
GROUP = 0.66
"""Of the distance between two catalogs, what the points of one take."""


def plot_catalogs(
    table: Mapping[str, Mapping[str, Measured]],
    labels: Mapping[str, str],
    variants: Sequence[str],
    singles: Sequence[str],
    path: Path,
) -> None:
    """Rates that count first, with 95 % intervals, catalog by catalog.

    Args:
        table: catalog -> variant -> rates.
        labels: what stands below each catalog.
        variants: drawn as points, those that a catalog has.
        singles: the best of these in hindsight is drawn as a line.
        path: of the PNG.
    """
    figure = Figure(figsize=(1.35 * len(table) + 1.6, 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    variants = [one for one in variants if any(one in rates for rates in table.values())]
    shifts = np.linspace(-GROUP / 2, GROUP / 2, len(variants))
    for variant, shift, (colour, marker) in zip(variants, shifts, MARKS, strict=False):
        places, values, low, high = [], [], [], []
        for place, rates in enumerate(table.values()):
            if variant not in rates:
                continue
            one = rates[variant]
            value, interval = one.rates[one.first], one.interval(one.first)
            places.append(place + shift)
            values.append(100 * value)
            low.append(100 * max(0.0, value - interval[0]))
            high.append(100 * max(0.0, interval[1] - value))
        panel.errorbar(
            places,
            values,
            [low, high],
            fmt=marker,
            color=colour,
            markersize=6.5,
            elinewidth=1.4,
            capsize=2.5,
            label=variant,
        )
    best = [
        100 * max(float(one.rates[one.first]) for name, one in rates.items() if name in singles)
        for rates in table.values()
    ]
    panel.hlines(
        best,
        np.arange(len(best)) - GROUP / 2 - 0.1,
        np.arange(len(best)) + GROUP / 2 + 0.1,
        color="black",
        linewidth=1,
        linestyle=(0, (4, 2)),
        label="best single part, known in hindsight",
        zorder=1,
    )
    panel.set_xticks(range(len(table)), [labels[name] for name in table])
    panel.tick_params(axis="x", length=0)
    panel.set_xlim(-0.6, len(table) - 0.4)
    panel.set_ylim(0, 103)
    panel.set_ylabel("I-HR@1, %")
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(axis="y", alpha=0.25)
    panel.set_axisbelow(True)
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    figure.savefig(path, dpi=120)
