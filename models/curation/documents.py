"""What is curated: documents with their views, their observed labels, categories and links.

A document is one picture with its text: a product's picture with its title, a shopper's photo with
its query. Labels are row numbers into ``names``, the product ids; ``UNKNOWN`` is none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.errors import CurationError

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Path = tuple[str, ...]

UNKNOWN = -1
"""The label of a document that has none."""


@dataclass(frozen=True, eq=False)
class View:
    """One representation of all documents: ``vectors`` float32 (n, d), rows of length 1.

    A row of zeros is a document that lacks this view: a photo without text. Views of one ``source``
    are one source of evidence; a label is called wrong only if no source contradicts.
    """

    name: str
    vectors: Floats
    source: str = "geometry"

    @property
    def present(self) -> Flags:
        """Which documents have this view, (n,)."""
        found: Flags = np.asarray(self.vectors.any(axis=1))
        return found


@dataclass(frozen=True, eq=False)
class Links:
    """Documents linked to labels by clicks and purchases: three arrays (m,).

    ``weights`` are log-likelihood ratios in nats, above 0: of the link, if the label is true.
    """

    documents: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    labels: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    weights: Floats = field(default_factory=lambda: np.empty(0, np.float32))

    def __len__(self) -> int:
        return len(self.documents)


@dataclass(frozen=True, eq=False)
class Documents:
    """n documents, and u product ids as their noisy labels.

    Attributes:
        labels: (n,) observed labels, 0..u−1 or UNKNOWN.
        names: the u product ids.
        views: the first is the picture's; more add evidence.
        keys: names of the documents in a report, (n,); row numbers by default.
        categories: own category path of each document, widest first, () where not known. Give it
            only where it was *not* taken from the label: else it would confirm a wrong label.
        label_categories: category path of each label, (u,), () where not known.
        links: of behaviour.
    """

    labels: Ints
    names: tuple[str, ...]
    views: tuple[View, ...]
    keys: tuple[str, ...] = ()
    categories: tuple[Path, ...] = ()
    label_categories: tuple[Path, ...] = ()
    links: Links = field(default_factory=Links)

    def __post_init__(self) -> None:
        _check(self)

    def __len__(self) -> int:
        return len(self.labels)

    def key(self, row: int) -> str:
        """The name of a document in a report."""
        return self.keys[row] if self.keys else str(row)

    def name(self, label: int) -> str:
        """A label's product id; "" for UNKNOWN."""
        return self.names[label] if label != UNKNOWN else ""

    def with_labels(self, labels: Ints) -> Documents:
        """The same documents under other labels."""
        return replace(self, labels=labels)

    def take(self, rows: Ints, inverse: Ints) -> Documents:
        """Some of the documents, in that order; labels keep their numbers.

        ``inverse`` (n,): the position in ``rows`` that replaces each document, also in links.
        """
        return replace(
            self,
            labels=self.labels[rows],
            views=tuple(replace(view, vectors=view.vectors[rows]) for view in self.views),
            keys=tuple(self.keys[row] for row in rows) if self.keys else (),
            categories=tuple(self.categories[row] for row in rows) if self.categories else (),
            links=replace(self.links, documents=inverse[self.links.documents]),
        )

    def distinct(self) -> tuple[Ints, Ints]:
        """One row for each set of exact duplicates, and the inverse, as of `numpy.unique`.

        Duplicates agree in all views, label and category: a listing that was posted twice must not
        confirm itself. Documents without any view are no duplicates.
        """
        first: dict[bytes, int] = {}
        rows: list[int] = []
        inverse = np.empty(len(self), np.int64)
        for row in range(len(self)):
            unseen = row if not any(view.vectors[row].any() for view in self.views) else None
            key = repr(
                (unseen, int(self.labels[row]), self.categories[row] if self.categories else ())
            )
            digest = hashlib.blake2b(key.encode(), digest_size=16)
            for view in self.views:
                digest.update(view.vectors[row].tobytes())
            at = first.setdefault(digest.digest(), len(rows))
            if at == len(rows):
                rows.append(row)
            inverse[row] = at
        return np.array(rows, np.int64), inverse


def number_labels(ids: Sequence[str | None]) -> tuple[Ints, tuple[str, ...]]:
    """Labels and names from product ids; None and "" are UNKNOWN.

    Names are in alphabetical order, so that they do not depend on the order of the documents.
    """
    names = tuple(sorted({one for one in ids if one}))
    numbers = {name: number for number, name in enumerate(names)}
    return np.array([numbers[one] if one else UNKNOWN for one in ids], np.int64), names


def _check(documents: Documents) -> None:
    """Raise CurationError where shapes, norms or label ranges are inconsistent."""
    n, u = len(documents.labels), len(documents.names)
    if not documents.views or not n:
        raise CurationError("nothing to curate: give at least one document and one view")
    for view in documents.views:
        if view.vectors.ndim != 2 or len(view.vectors) != n:
            raise CurationError(
                f"view {view.name!r} has the shape {view.vectors.shape}: give one row for each "
                f"of the {n} documents"
            )
        length = np.linalg.norm(view.vectors, axis=1)
        off = np.where(length == 0, 0.0, np.abs(length - 1))
        if not (off < 1e-2).all():
            raise CurationError(
                f"view {view.name!r}: row {int(np.argmax(~(off < 1e-2)))} is neither of length 1 "
                "nor zero: normalise the vectors first"
            )
    for what, values, limit in (
        ("labels", documents.labels, u),
        ("links.labels", documents.links.labels, u),
        ("links.documents", documents.links.documents, n),
    ):
        lowest = UNKNOWN if what == "labels" else 0
        if len(values) and (values.min() < lowest or values.max() >= limit):
            raise CurationError(f"{what} must lie in {lowest}..{limit - 1}")
    for what, given, wanted in (
        ("keys", documents.keys, n),
        ("categories", documents.categories, n),
        ("label_categories", documents.label_categories, u),
    ):
        if given and len(given) != wanted:
            raise CurationError(f"{len(given)} {what} were given, {wanted} are needed")
