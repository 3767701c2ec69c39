"""A page to look at: each query beside its best answers, what was right framed.

One self-contained HTML file: pictures are thumbnails inside it, nothing is loaded.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import jinja2
from PIL import Image, ImageOps

from stream.messages import QueryJuice

THUMBNAIL_SIDE = 168


@dataclass(frozen=True)
class Answer:
    """One shown product; `level` is the true one (0 instance … 3), None when not known."""

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
    """One query, what the juicer kept of it, and its answers in order."""

    picture: Path | None
    truth: str
    juice: QueryJuice | None
    answers: tuple[Answer, ...]

    @property
    def thumbnail(self) -> str | None:
        """The photo as a small data: URI."""
        return thumbnail(self.picture) if self.picture else None

    @property
    def dropped(self) -> list[tuple[float, float, float, float]]:
        """Patches that the juicer did not keep: x, y, width, height in per cent of the photo."""
        if self.juice is None:
            return []
        rows, columns = self.juice.grid
        kept = set(self.juice.kept)
        return [
            (100 * (i % columns) / columns, 100 * (i // columns) / rows, 100 / columns, 100 / rows)
            for i in range(rows * columns)
            if i not in kept
        ]


def write_contact_sheet(
    path: Path, title: str, facts: Sequence[tuple[str, str]], rows: Sequence[Row]
) -> None:
    """Write the page. `facts` are the figures at its head, as (name, value)."""
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
def thumbnail(path: Path) -> str | None:
    """The picture as a data: URI of a small WebP; None when it can't be opened."""
    try:
        with Image.open(path) as image:
            small = ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, ValueError):
        return None
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    out = io.BytesIO()
    small.save(out, "WEBP", quality=70)
    return f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode('ascii')}"
