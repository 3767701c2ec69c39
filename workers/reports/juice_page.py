"""A page of photos before and after juicing, or of those that stay and go. One HTML file."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import jinja2

from models.catalog.folder import local_path
from models.curation.juicing import Way
from workers.jobs.juice import Juiced, JuiceSettings, juiced_picture
from workers.reports.contact_sheet import thumbnail

MAX_SAMPLES = 60
"""Evenly spaced over the set."""


@dataclass(frozen=True)
class ShownSample:
    """A photo as it was and as it is now; `after` is None where nothing was written for it."""

    before: Path | None
    after: Path | None
    stays: bool
    raw_text: str
    text: str
    pixel_share: float
    agreement: float


def write_juice_page(
    path: Path, folder: Path, out: Path, settings: JuiceSettings, juiced: Juiced
) -> None:
    """Write the page."""
    step = max(1, len(juiced.samples) // MAX_SAMPLES)
    shown = [
        ShownSample(
            before=local_path(folder, one.image),
            after=juiced_picture(out, one.image) if one.juiced_pixels else None,
            stays=stays,
            raw_text=one.raw_text,
            text=one.text,
            pixel_share=one.juiced_pixels / max(1, one.pixels),
            agreement=one.agreement,
        )
        for one, stays in list(zip(juiced.samples, juiced.stays, strict=True))[::step]
    ][:MAX_SAMPLES]
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["thumbnail"] = thumbnail
    template = files("workers") / "templates" / "juice.html.j2"
    page = environment.from_string(template.read_text(encoding="utf-8")).render(
        title=f"{folder.name}: {settings.way.value}, {100 * settings.keep:g} % kept",
        counts=juiced.counts,
        samples=shown,
        sieved=settings.way is not Way.JUICE,
    )
    path.write_text(page, encoding="utf-8")
