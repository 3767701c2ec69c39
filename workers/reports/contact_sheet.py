"""A contact sheet: each query beside its first results, the correct ones framed.

One self-contained HTML file: pictures are embedded thumbnails.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import jinja2
from PIL import Image, ImageOps

from stream.messages import QueryJuice

THUMBNAIL_SIDE = 168


class Rectangle(NamedTuple):
    """Left, top, width and height, in per cent of a square."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Answer:
    """One result; `level` is its true relevance (0 instance … 3), None if not known."""

    title: str
    picture: Path | None
    score: float
    level: int | None

    @property
    def thumbnail(self) -> str | None:
        """The picture as a small data: URI."""
        return thumbnail(self.picture) if self.picture else None


@dataclass(frozen=True)
class Row:
    """One query, its juice, and its results in order."""

    picture: Path | None
    truth: str
    juice: QueryJuice | None
    answers: tuple[Answer, ...]

    @property
    def thumbnail(self) -> str | None:
        """The photo as a small data: URI."""
        return thumbnail(self.picture) if self.picture else None

    @property
    def frame(self) -> Rectangle:
        """The photo's rectangle in the square that the grid of patches covers."""
        width, height = size_of(self.picture) if self.picture else (1, 1)
        side = max(width, height)
        return Rectangle(
            50 * (side - width) / side,
            50 * (side - height) / side,
            100 * width / side,
            100 * height / side,
        )

    @property
    def dropped(self) -> list[Rectangle]:
        """Patches that the juicer dropped."""
        if self.juice is None:
            return []
        rows, columns = self.juice.grid
        kept = set(self.juice.kept)
        return [
            Rectangle(
                100 * (i % columns) / columns,
                100 * (i // columns) / rows,
                100 / columns,
                100 / rows,
            )
            for i in range(rows * columns)
            if i not in kept
        ]

    @property
    def box(self) -> Rectangle:
        """The juicer's crop, relative to the square; the juice has it relative to the photo."""
        x0, y0, x1, y1 = self.juice.box if self.juice else (0.0, 0.0, 1.0, 1.0)
        inside = self.frame
        return Rectangle(
            inside.x + x0 * inside.width,
            inside.y + y0 * inside.height,
            (x1 - x0) * inside.width,
            (y1 - y0) * inside.height,
        )


def write_contact_sheet(
    path: Path, title: str, facts: Sequence[tuple[str, str]], rows: Sequence[Row]
) -> None:
    """Write the page; `facts` are shown at its head, as (name, value)."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = files("workers") / "templates" / "contact_sheet.html.j2"
    page = environment.from_string(template.read_text(encoding="utf-8"))
    path.write_text(page.render(title=title, facts=facts, rows=rows), encoding="utf-8")


@cache
def size_of(path: Path) -> tuple[int, int]:
    """Width and height of an upright picture; (1, 1) if it cannot be opened."""
    try:
        with Image.open(path) as image:
            width, height = ImageOps.exif_transpose(image).size
    except (OSError, ValueError):
        return 1, 1
    return width, height


@cache
def thumbnail(path: Path) -> str | None:
    """The picture as a data: URI of a small WebP; None if it cannot be opened."""
    try:
        with Image.open(path) as image:
            small = ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, ValueError):
        return None
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    out = io.BytesIO()
    small.save(out, "WEBP", quality=70)
    return f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode('ascii')}"
