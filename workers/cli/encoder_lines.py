"""Encoders as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from models.hub.inventory import Entry

HEAD = ("name", "licence", "M params", "MB", "dim", "px", "texts", "here", "revision")
RIGHT = {"M params", "MB", "dim", "px"}


def encoder_lines(entries: Sequence[Entry]) -> Iterator[str]:
    """A head and a line each; of the parameters, those that encode a picture. Notes follow."""
    rows = [HEAD, *map(_cells, entries)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(
            f"{cell:>{width}}" if title in RIGHT else f"{cell:<{width}}"
            for title, cell, width in zip(HEAD, row, widths, strict=True)
        ).rstrip()
    for one in entries:
        if one.note:
            yield f"{one.name}: {one.note}"


def _cells(one: Entry) -> tuple[str, ...]:
    return (
        one.name,
        one.licence + (" (gated)" if one.gated else ""),
        "" if one.picture_parameters is None else f"{one.picture_parameters / 1e6:.1f}",
        f"{one.megabytes:,.0f}",
        "" if one.dim is None else str(one.dim),
        "" if one.size is None else str(one.size),
        one.languages or ("none" if one.kind == "vision" else ""),
        "yes" if one.here else "no",
        f"{one.revision[:12]} {one.trust}".strip(),
    )
