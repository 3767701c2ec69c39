"""A bank from purified clusters: one prototype per label, the centroid of its members.

Pailitao-VL §4: after curation a cluster's members show one product, and the ℓ2-normalised mean of
their vectors represents it. The label is the prototype's name, which stays the same from bank to
bank (`index.prototypes.online_update`), while row numbers may change.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from index.errors import BankError
from index.prototypes.bank import Name, Origin, PrototypeBank
from index.prototypes.kmeans import neighbour_order
from index.vectors import Matrix, Rows, check_unit_rows

METHOD = "centroids of purified clusters"
MAX_ORDERED = 20_000
"""Larger banks stay sorted by name: `neighbour_order` would take minutes, and a bank of that size
is searched through a coarse index (`index.prototypes.mmap_bank`).
"""
MIN_MEAN_NORM = 1e-3
"""Length of a mean of unit vectors below which its direction is noise."""


def from_clusters(
    vectors: Matrix,
    labels: Sequence[Name | None],
    model_id: str,
    *,
    created_from: str = "",
    sources: Mapping[str, int] | None = None,
) -> PrototypeBank:
    """Build a bank with one prototype per label.

    Args:
        vectors: float32 of shape (n, d), ℓ2-normalised, n ≥ 1.
        labels: the cluster of each vector; None for outliers.
        model_id: the model that made the vectors.
        created_from: which clusters these are, for the card.
        sources: number of vectors from each source, for the card.

    Returns:
        A bank whose names are the labels and whose counts are their members. The same vectors and
        labels in the same order give the same version.

    Raises:
        BankError: no label at all, counts that differ, vectors that are not finite and of unit
            length, or a cluster whose members cancel out.
    """
    vectors = np.asarray(vectors, np.float32)
    check_unit_rows(vectors, "vectors")
    if len(labels) != len(vectors):
        raise BankError(f"{len(labels)} labels for {len(vectors)} vectors: give one each, or None")
    names = sorted_names(label for label in labels if label is not None)
    if not names:
        raise BankError("no vector has a label: a bank needs at least one cluster")
    numbers = {name: number for number, name in enumerate(names)}
    members = np.array([at for at, label in enumerate(labels) if label is not None], np.int64)
    of = np.array([numbers[label] for label in labels if label is not None], np.int64)
    counts = np.bincount(of, minlength=len(names))
    by_name = np.split(members[np.argsort(of, kind="stable")], np.cumsum(counts)[:-1])
    means = np.array([vectors[rows].mean(axis=0) for rows in by_name], np.float32)
    return named_bank(
        names,
        means,
        counts,
        model_id,
        built_from=len(members),
        origin=Origin(METHOD, created_from, dict(sources or {})),
    )


def bank_of_clusters(
    clusters: Mapping[Name, Sequence[str]],
    item_ids: Sequence[str],
    vectors: Matrix,
    model_id: str,
    *,
    created_from: str = "",
    sources: Mapping[str, int] | None = None,
) -> PrototypeBank:
    """The bank of clusters that are given as the ids of their members.

    Args:
        clusters: the ids of the members of each label.
        item_ids: of the rows of `vectors`, (n,); a picture is one item. Items in no cluster are
            ignored.
        vectors: float32 (n, d), ℓ2-normalised.
        model_id: the model that made them.
        created_from: see `from_clusters`.
        sources: see `from_clusters`.

    Raises:
        BankError: as `from_clusters`; also for a member without a vector, or in two clusters.
    """
    label_of: dict[str, Name] = {}
    for label, members in clusters.items():
        for member in members:
            if label_of.setdefault(member, label) != label:
                raise BankError(
                    f"{member!r} is in the clusters {label_of[member]!r} and {label!r}: "
                    "curate again, or leave it out of one"
                )
    if missing := label_of.keys() - set(item_ids):
        raise BankError(
            f"{len(missing)} members have no vector, such as {min(missing)!r}: "
            "encode the same catalog that was curated"
        )
    labels = [label_of.get(item_id) for item_id in item_ids]
    return from_clusters(vectors, labels, model_id, created_from=created_from, sources=sources)


def named_bank(
    names: Sequence[Name],
    means: Matrix,
    counts: Rows,
    model_id: str,
    *,
    built_from: int,
    origin: Origin,
) -> PrototypeBank:
    """A bank of means of any length, (u, d), with consecutive rows near each other.

    Raises:
        BankError: a mean is too short for a direction.
    """
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    shortest = int(lengths.argmin())
    if not lengths[shortest] >= MIN_MEAN_NORM:
        raise BankError(
            f"the {counts[shortest]} members of {names[shortest]!r} cancel out: "
            "they cannot be one product; curate that cluster again"
        )
    centroids = means / lengths
    order = neighbour_order(centroids) if len(names) <= MAX_ORDERED else np.arange(len(centroids))
    return PrototypeBank(
        centroids[order],
        model_id=model_id,
        built_from=built_from,
        names=[names[row] for row in order],
        counts=counts[order],
        origin=origin,
    )


def sorted_names(names: Iterable[Name]) -> list[Name]:
    """Distinct names, numbers first, in ascending order."""
    return sorted(set(names), key=name_key)


def name_key(name: Name) -> tuple[bool, Name]:
    """A sort key for numbers and texts together."""
    return isinstance(name, str), name
