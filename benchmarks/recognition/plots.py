"""The plots of `bench embedding`: the table as bars, and the scaling law."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.recognition.scaling import PowerLaw

Table = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Variant -> retrieval task -> hit rates, 0..1."""


def plot_table(table: Table, path: Path) -> None:
    """Average hit rate of every variant, one panel for each retrieval task."""
    tasks = list(dict.fromkeys(task for rates in table.values() for task in rates))
    figure = Figure(figsize=(4.2 * len(tasks), 0.5 * len(table) + 1.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    panels[0].set_yticks(range(len(table)), list(table))
    panels[0].invert_yaxis()
    for panel, task in zip(panels, tasks, strict=True):
        rows = [row for row, rates in enumerate(table.values()) if task in rates]
        values = [100 * rates[task]["average"] for rates in table.values() if task in rates]
        bars = panel.barh(rows, values, color=[f"C{row}" for row in rows])
        panel.bar_label(bars, fmt="%.1f", padding=3)
        panel.set_xlim(0, 1.18 * max(values))
        panel.set_title(task)
        panel.spines[["top", "right"]].set_visible(False)
        panel.set_xlabel("average of six hit rates, %")
    figure.savefig(path, dpi=120)


def plot_scaling(counts: Sequence[int], recall: Sequence[float], law: PowerLaw, path: Path) -> None:
    """Measured recall by the number of prototypes, and the fitted power law, on log-log axes."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    sizes = np.geomspace(min(counts), max(counts), 50)
    label = f"{law.factor:.3f} · n^{law.exponent:.3f}   (R² {law.r2:.3f})"
    panel.plot(sizes, [100 * law(one) for one in sizes], color="grey", linestyle="--", label=label)
    panel.plot(counts, [100 * one for one in recall], marker="o", linestyle="", label="measured")
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xticks(counts, [f"{one:,}" for one in counts])
    # Ticks of a logarithmic axis over less than a decade are useless; the points have labels.
    panel.set_yticks([])
    for count, one in zip(counts, recall, strict=True):
        panel.annotate(
            f"{100 * one:.1f}", (count, 100 * one), (0, 7), textcoords="offset points", ha="center"
        )
    panel.margins(0.08)
    panel.minorticks_off()
    panel.set_xlabel("prototypes")
    panel.set_ylabel("I-HR@1 on unseen products, %")
    panel.grid(alpha=0.3)
    panel.legend(frameon=False)
    figure.savefig(path, dpi=120)
