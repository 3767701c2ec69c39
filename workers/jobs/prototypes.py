"""A bank of products: one prototype for each cluster that curation kept (Pailitao-VL §4, stage 2).

A member's picture is encoded as an item of its cluster's product would be, with that product's
words, so that the prototypes lie among the items.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from index.prototypes.bank import Name, PrototypeBank
from index.prototypes.from_clusters import bank_of_clusters
from models.catalog.folder import Product, read_catalog
from models.curation.report import read_clusters
from models.embedding.protocol import ItemEncoder
from models.images.files import open_picture
from workers.errors import SettingsError

BATCH = 16


def cluster_bank(
    clusters: Path,
    catalog: Path,
    encoder: ItemEncoder,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> PrototypeBank:
    """The bank of the clusters that `lookstream curate` wrote for a catalog folder.

    Args:
        clusters: the file of clusters.
        catalog: the folder that was curated.
        encoder: of the index that is to be assigned by the bank.
        on_progress: called with (pictures encoded, pictures in all).

    Raises:
        CatalogError, CurationError, PictureError: a file cannot be read.
        SettingsError: there is no cluster.
    """
    label_of = {key: label for key, (label, _) in read_clusters(clusters).items()}
    if not label_of:
        raise SettingsError(f"{clusters} holds no cluster: write it with `lookstream curate`")
    products = read_catalog(catalog).by_id
    keys = sorted(label_of)
    vectors = []
    for start in range(0, len(keys), BATCH):
        batch = keys[start : start + BATCH]
        shown = [products.get(label_of[key], Product(product_id="")) for key in batch]
        encoded = encoder.encode_items(
            [open_picture(catalog / key) for key in batch],
            [one.text for one in shown],
            [one.category for one in shown],
        )
        vectors += [one.vector for one in encoded]
        on_progress(start + len(batch), len(keys))
    members: dict[Name, list[str]] = defaultdict(list)
    for key in keys:
        members[label_of[key]].append(key)
    return bank_of_clusters(
        members,
        keys,
        np.stack(vectors),
        encoder.model_id,
        created_from=clusters.name,
        sources={catalog.name: len(keys)},
    )
