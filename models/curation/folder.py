"""Documents of a catalog folder: products' pictures and shoppers' photos with their texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from models.arrays import Floats
from models.catalog.folder import Catalog, read_catalog
from models.curation.documents import Documents, View, number_labels
from models.curation.propose import Click, behaviour_links
from models.embedding.protocol import Encoded, SearchEncoder
from models.errors import CurationError
from models.images.files import open_picture

BATCH = 16


@dataclass(frozen=True)
class FolderDocument:
    """One document of a folder; ``key`` is its picture's reference."""

    key: str
    product_id: str | None
    category: tuple[str, ...]
    text: str


def folder_documents(catalog: Catalog, split: str | None) -> list[FolderDocument]:
    """Products' pictures in file order, then the photos of a split, or of all with None.

    Raises:
        CatalogError: there is no such split.
    """
    photos = catalog.photos if split is None else catalog.split(split) if catalog.photos else ()
    found = [
        FolderDocument(key, one.product_id, one.category, one.title)
        for one in catalog.products
        for key in dict.fromkeys(key for key in (one.image, *one.images) if key)
    ]
    found += [
        FolderDocument(one.image, one.product_id, one.category, one.text or "") for one in photos
    ]
    if not found:
        raise CurationError(f"{catalog.folder} has no pictures to curate")
    return found


def read_documents(
    folder: Path,
    encoder: SearchEncoder,
    split: str | None = "train",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Documents:
    """Encode a catalog folder's documents: the views picture, colour and text.

    A photo's own category path is evidence only where it differs from its product's.

    Raises:
        CatalogError: see `read_catalog`.
        PictureError: a picture cannot be opened.
        CurationError: there is nothing to curate.
    """
    catalog = read_catalog(folder)
    found = folder_documents(catalog, split)
    pictures: list[Encoded] = []
    for start in range(0, len(found), BATCH):
        batch = found[start : start + BATCH]
        opened = [open_picture(Path(catalog.locate(one.key))) for one in batch]
        pictures += encoder.encode_items(opened, [None] * len(opened))
        progress(start + len(batch), len(found))
    labels, names = number_labels([one.product_id for one in found])
    paths = {one.product_id: one.category for one in catalog.products}
    for one in found:
        if one.product_id:
            paths.setdefault(one.product_id, one.category)
    weights = encoder.part_weights(np.stack([one.vector for one in pictures]))
    # As a query, a picture alone is all of its vector.
    queries = encoder.encode_queries(pictures, [None] * len(pictures), weights)
    vectors = np.stack([one.vector for one in queries])
    colours = np.stack([one.juice.colour for one in pictures])
    views = [
        View("picture", drop_empty_columns(vectors)),
        View("colour", drop_empty_columns(colours)),
    ]
    texts = text_vectors([one.text for one in found], encoder)
    if texts.any():
        views.append(View("text", drop_empty_columns(texts), source="text"))
    return Documents(
        labels=labels,
        names=names,
        views=tuple(view for view in views if view.vectors.any()),
        keys=tuple(one.key for one in found),
        categories=tuple(one.category for one in found),
        label_categories=tuple(paths[name] for name in names),
    )


def with_clicks(
    documents: Documents, clicks: Iterable[tuple[str, str, int]]
) -> tuple[Documents, int]:
    """Documents linked by clicks (document, product id, position), and how many clicks are unknown.

    A document is named by its picture's reference, or by its file name without the suffix.
    """
    rows = {Path(key).stem: row for row, key in enumerate(documents.keys)}
    rows |= {key: row for row, key in enumerate(documents.keys)}
    labels = {name: label for label, name in enumerate(documents.names)}
    known: list[Click] = []
    unknown = 0
    for document, product, position in clicks:
        if document in rows and product in labels:
            known.append(Click(rows[document], labels[product], position))
        else:
            unknown += 1
    return replace(documents, links=behaviour_links(known)), unknown


def text_vectors(texts: list[str], encoder: SearchEncoder) -> Floats:
    """Text vectors (n, d), zero for empty texts; equal texts are encoded once."""
    distinct = sorted({text for text in texts if text.strip()})
    if not distinct:
        return np.zeros((len(texts), 1), np.float32)
    vectors = {text: encoder.encode_queries([None], [text])[0].vector for text in distinct}
    empty = np.zeros_like(vectors[distinct[0]])
    return np.stack([vectors.get(text, empty) for text in texts])


def drop_empty_columns(vectors: Floats) -> Floats:
    """Without the columns that are zero everywhere: parts of the vector that nothing fills."""
    used = vectors.any(axis=0)
    return np.ascontiguousarray(vectors[:, used] if used.any() else vectors[:, :1], np.float32)
