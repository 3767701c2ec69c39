"""What is curated: documents with their views, their ids as they came, and what else is known.

A document is one picture with what belongs to it: a product's picture with its title, a shopper's
photo with its words. Labels are row numbers into ``names``, the product ids; ``UNKNOWN`` is none.
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
    """One way to see all documents: ``vectors`` float32 (n, d), rows of length 1.

    A row of zeros is a document that cannot be seen this way: a photo without words. Views of one
    ``judge`` are seen by one judge; several judges must not disagree before a member is pruned.
    """

    name: str
    vectors: Floats
    judge: str = "geometry"

    @property
    def present(self) -> Flags:
        """Which documents it sees, (n,)."""
        seen: Flags = np.asarray(self.vectors.any(axis=1))
        return seen


@dataclass(frozen=True, eq=False)
class Links:
    """Documents tied to labels by what shoppers did: three arrays (m,).

    ``weights`` are in nats, above 0: how much more likely the link is if the label is the true one.
    """

    documents: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    labels: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    weights: Floats = field(default_factory=lambda: np.empty(0, np.float32))

    def __len__(self) -> int:
        return len(self.documents)


@dataclass(frozen=True, eq=False)
class Documents:
    """n documents and the u product ids that they are said to show.

    Attributes:
        labels: (n,), 0..u−1 or UNKNOWN.
        names: the u product ids.
        views: the first is the picture's; more add evidence.
        keys: what each document is called in a report, (n,); its place by default.
        categories: own category path of each document, widest first, () where not known. Give it
            only where it was *not* taken from the label: else it would vouch for a wrong label.
        label_categories: category path of each label, (u,), () where not known.
        links: what behaviour ties together.
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
        """What a document is called."""
        return self.keys[row] if self.keys else str(row)

    def name(self, label: int) -> str:
        """A label's product id; "" for UNKNOWN."""
        return self.names[label] if label != UNKNOWN else ""

    def relabelled(self, labels: Ints) -> Documents:
        """The same documents under other labels."""
        return replace(self, labels=labels)

    def take(self, rows: Ints, place: Ints) -> Documents:
        """Some of the documents, in that order; labels keep their numbers.

        ``place`` (n,) says which of ``rows`` stands for each document; its links go there.
        """
        return replace(
            self,
            labels=self.labels[rows],
            views=tuple(replace(view, vectors=view.vectors[rows]) for view in self.views),
            keys=tuple(self.keys[row] for row in rows) if self.keys else (),
            categories=tuple(self.categories[row] for row in rows) if self.categories else (),
            links=replace(self.links, documents=place[self.links.documents]),
        )

    def distinct(self) -> tuple[Ints, Ints]:
        """One row for each set of exact copies (of all views, label and category), and its place.

        A listing that was posted twice must not vouch for itself. What no view sees copies nothing.
        """
        first: dict[bytes, int] = {}
        rows: list[int] = []
        place = np.empty(len(self), np.int64)
        for row in range(len(self)):
            blind = row if not any(view.vectors[row].any() for view in self.views) else None
            said = repr(
                (blind, int(self.labels[row]), self.categories[row] if self.categories else ())
            )
            digest = hashlib.blake2b(said.encode(), digest_size=16)
            for view in self.views:
                digest.update(view.vectors[row].tobytes())
            at = first.setdefault(digest.digest(), len(rows))
            if at == len(rows):
                rows.append(row)
            place[row] = at
        return np.array(rows, np.int64), place


def numbered(ids: Sequence[str | None]) -> tuple[Ints, tuple[str, ...]]:
    """Labels and names from product ids as they came; None and "" are UNKNOWN.

    Names are in alphabetical order, so that they do not depend on the order of the documents.
    """
    names = tuple(sorted({one for one in ids if one}))
    place = {name: at for at, name in enumerate(names)}
    return np.array([place[one] if one else UNKNOWN for one in ids], np.int64), names


def _check(documents: Documents) -> None:
    """Raise CurationError where the parts do not fit together; says which."""
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
