"""Corrupted ids: how many of them curation finds, and what that gains (Pailitao-VL §4.2, §4.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats, unit
from models.catalog.folder import Catalog
from models.curation.curate import Curated, curate
from models.curation.documents import Documents, View
from models.curation.folder import drop_empty_columns, read_documents, text_vectors
from models.curation.label_noise import Recovery, corrupt, recovery
from models.embedding.protocol import SearchEncoder
from models.training.embedding.dataset import TrainingData
from models.training.embedding.run_state import TrainableEncoder
from models.training.embedding.validation import encode_rows

NOISE_RATE = 0.2
"""Share of the labels that are corrupted."""

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class NoisyCatalog:
    """Pictures with their texts, true labels, and corrupted ones."""

    data: TrainingData
    texts: Floats
    truth: Rows
    given: Rows

    @classmethod
    def of(
        cls, data: TrainingData, catalog: Catalog, encoder: SearchEncoder, seed: int = 0
    ) -> NoisyCatalog:
        """The pictures of one catalog, a fifth of them under another product's id."""
        texts = {catalog.locate(one.image or ""): one.title for one in catalog.products}
        texts |= {catalog.locate(one.image): one.text or "" for one in catalog.photos}
        sources, truth = data.pictures.sources, data.pictures.ids
        encoded = text_vectors([texts[source.path] for source in sources], encoder)
        return cls(data, encoded, truth, corrupt(truth, NOISE_RATE, seed))

    def curated(self, tower: TrainableEncoder) -> tuple[Curated, Recovery]:
        """The corrupted labels curated, with identities of a tower as the picture view."""
        cache = self.data.cache
        identities = unit(encode_rows(tower, cache, cache.clean_rows()))
        # Colours are the last columns, see `Projection.whitened`.
        width = cache.projection.colour.matrix.shape[1]
        colour = cache.whitened(cache.clean_rows())[:, -width:]
        documents = Documents(
            labels=self.given,
            names=tuple(f"{number:06}" for number in range(int(self.truth.max()) + 1)),
            views=(
                View("picture", drop_empty_columns(identities)),
                View("colour", drop_empty_columns(unit(colour))),
                View("text", drop_empty_columns(self.texts), source="text"),
            ),
        )
        found = curate(documents)
        return found, recovery(self.truth, self.given, found.flagged, found.suggested)


def recovery_in_folder(
    folder: Path,
    encoder: SearchEncoder,
    progress: Callable[[int, int], None] = lambda done, total: None,
    seed: int = 0,
) -> Recovery:
    """What ``lookstream curate`` recovers in all splits of a folder, a fifth of the ids corrupted.

    Wrong ids are drawn from all products.
    """
    documents = read_documents(folder, encoder, None, progress)
    truth = documents.labels
    wrong = replace(documents, labels=corrupt(truth, NOISE_RATE, seed))
    found = curate(wrong)
    return recovery(truth, wrong.labels, found.flagged, found.suggested)
