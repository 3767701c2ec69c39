"""Encoders as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from models.hub.inventory import Entry
from models.hub.speed import REFERENCE, Speed

TIMES = f"× {REFERENCE}"
HEAD = ("name", "licence", "M params", "MB", "dim", "px", "ms", TIMES, "texts", "here", "revision")
RIGHT = {"M params", "MB", "dim", "px", "ms", TIMES}


def encoder_lines(entries: Sequence[Entry], speeds: Mapping[str, Speed]) -> Iterator[str]:
    """A head and a line each; of the parameters, those that encode a picture. Notes follow."""
    rows = [HEAD, *(_cells(one, speeds.get(one.name)) for one in entries)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(
            f"{cell:>{width}}" if title in RIGHT else f"{cell:<{width}}"
            for title, cell, width in zip(HEAD, row, widths, strict=True)
        ).rstrip()
    for one in entries:
        if one.note:
            yield f"{one.name}: {one.note}"


def _cells(one: Entry, speed: Speed | None) -> tuple[str, ...]:
    return (
        one.name,
        one.licence + (" (gated)" if one.gated else ""),
        "" if one.picture_parameters is None else f"{one.picture_parameters / 1e6:.1f}",
        f"{one.megabytes:,.0f}",
        "" if one.dim is None else str(one.dim),
        "" if one.size is None else str(one.size),
        "" if speed is None else f"{speed.ms:.0f}",
        "" if speed is None else f"{speed.of_reference:.1f}",
        one.languages or ("none" if one.kind == "vision" else ""),
        "yes" if one.here else "no",
        f"{one.revision[:12]} {one.trust}".strip(),
    )
