"""A page of what curation doubts most: each document beside its cluster and the one it fits better.

One self-contained HTML file: pictures are thumbnails inside it, nothing is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import jinja2
import numpy as np

from models.curation.curate import Curated, Verdict
from models.curation.documents import UNKNOWN, Documents
from models.curation.report import doubtful
from workers.reports.contact_sheet import thumbnail

SHOWN = 100
COMPANY = 3
"""Firm members shown of each of the two clusters."""


@dataclass(frozen=True)
class Doubt:
    """One document, its own cluster's firmest members, and those of the one it fits better."""

    key: str
    picture: Path
    verdict: str
    reason: str
    doubt: float
    own: str
    rival: str
    own_pictures: tuple[Path, ...]
    rival_pictures: tuple[Path, ...]


def write_page(path: Path, folder: Path, documents: Documents, curated: Curated) -> None:
    """Write the page of the most doubtful documents of a folder."""
    firm = _firmest(curated)
    rows = [row for row in doubtful(curated) if curated.doubt[row] > 0][:SHOWN]
    doubts = [_doubt(folder, documents, curated, row, firm) for row in rows]
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["thumbnail"] = thumbnail
    template = files("workers") / "templates" / "curation.html.j2"
    counts = [(one.value, curated.verdicts.count(one)) for one in Verdict]
    page = environment.from_string(template.read_text(encoding="utf-8"))
    path.write_text(
        page.render(title=f"Curation of {folder.name}", counts=counts, doubts=doubts),
        encoding="utf-8",
    )


def _doubt(
    folder: Path, documents: Documents, curated: Curated, row: int, firm: dict[int, list[int]]
) -> Doubt:
    own = int(documents.labels[row])
    rival = int(curated.review.best[curated.place[row]])

    def company(label: int) -> tuple[Path, ...]:
        members = [one for one in firm.get(label, []) if one != row]
        return tuple(folder / documents.key(one) for one in members[:COMPANY])

    return Doubt(
        key=documents.key(row),
        picture=folder / documents.key(row),
        verdict=curated.verdicts[row].value,
        reason=curated.reasons[row],
        doubt=float(curated.doubt[row]),
        own=documents.name(own),
        rival=curated.names[rival] if rival != UNKNOWN else "",
        own_pictures=company(own),
        rival_pictures=company(rival) if rival != UNKNOWN else (),
    )


def _firmest(curated: Curated) -> dict[int, list[int]]:
    firm: dict[int, list[int]] = {}
    for row in np.argsort(-curated.weights, kind="stable"):
        firm.setdefault(int(curated.labels[row]), []).append(int(row))
    return firm
