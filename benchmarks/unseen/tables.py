"""The tables of `bench catalogs`, one for each catalog."""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.unseen.measured import RATES, Measured


def tables(table: Mapping[str, Mapping[str, Measured]]) -> list[str]:
    """A table for each catalog, within 80 columns."""
    shown = []
    for catalog, found in table.items():
        grid = Table(title=f"{catalog}, left out: %", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for title in ("", "I-HR@1", "C-HR@1", "mean of six"):
            grid.add_column(title, justify="right" if title else "left", no_wrap=True)
        for variant, one in found.items():
            cells = [
                "–"
                if np.isnan(one.rates[at])
                else "{:.1f} ({:.0f}–{:.0f})".format(
                    100 * one.rates[at], *(100 * edge for edge in one.interval(at))
                )
                for at in range(len(RATES))
            ]
            grid.add_row(variant, *cells)
        console = Console(file=StringIO(), width=80)
        with console.capture() as capture:
            console.print(grid)
        shown.append(capture.get())
    return shown
