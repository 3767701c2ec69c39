"""A page of the most doubtful documents, each beside its cluster and the one that fits better.

One self-contained HTML file: pictures are embedded thumbnails.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import jinja2
import numpy as np

from models.curation.curate import Curated, Decision
from models.curation.documents import UNKNOWN, Documents
from models.curation.report import by_error_probability
from workers.reports.contact_sheet import thumbnail

MAX_DOCUMENTS = 100
MEMBERS = 3
"""Shown of each of the two clusters, those with the largest weights."""


@dataclass(frozen=True)
class DoubtfulDocument:
    """One document, members of its own cluster, and of the one that fits better."""

    key: str
    picture: Path
    decision: str
    explanation: str
    error_probability: float
    own: str
    rival: str
    own_pictures: tuple[Path, ...]
    rival_pictures: tuple[Path, ...]


def write_page(path: Path, folder: Path, documents: Documents, curated: Curated) -> None:
    """Write the page of the most doubtful documents of a folder."""
    members = _by_weight(curated)
    rows = [row for row in by_error_probability(curated) if curated.error_probability[row] > 0]
    doubtful = [_doubtful(folder, documents, curated, row, members) for row in rows[:MAX_DOCUMENTS]]
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["thumbnail"] = thumbnail
    template = files("workers") / "templates" / "curation.html.j2"
    counts = [(one.value, curated.decisions.count(one)) for one in Decision]
    page = environment.from_string(template.read_text(encoding="utf-8"))
    path.write_text(
        page.render(title=f"Curation of {folder.name}", counts=counts, doubtful=doubtful),
        encoding="utf-8",
    )


def _doubtful(
    folder: Path, documents: Documents, curated: Curated, row: int, members: dict[int, list[int]]
) -> DoubtfulDocument:
    own = int(documents.labels[row])
    rival = int(curated.review.best_other[curated.inverse[row]])

    def pictures(label: int) -> tuple[Path, ...]:
        others = [one for one in members.get(label, []) if one != row]
        return tuple(folder / documents.key(one) for one in others[:MEMBERS])

    return DoubtfulDocument(
        key=documents.key(row),
        picture=folder / documents.key(row),
        decision=curated.decisions[row].value,
        explanation=curated.explanations[row],
        error_probability=float(curated.error_probability[row]),
        own=documents.name(own),
        rival=curated.names[rival] if rival != UNKNOWN else "",
        own_pictures=pictures(own),
        rival_pictures=pictures(rival) if rival != UNKNOWN else (),
    )


def _by_weight(curated: Curated) -> dict[int, list[int]]:
    """Members of each label, those with the largest weights first."""
    members: dict[int, list[int]] = {}
    for row in np.argsort(-curated.weights, kind="stable"):
        members.setdefault(int(curated.labels[row]), []).append(int(row))
    return members
