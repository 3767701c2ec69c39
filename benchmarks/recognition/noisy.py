"""Ids made wrong on purpose: what curation finds of them, and what that gains (Pailitao-VL §4.2 and
§4.3)."""

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
from models.curation.folder import read_documents, text_vectors, tight
from models.curation.label_noise import Recovery, corrupt, recovery
from models.embedding.protocol import SearchEncoder
from models.training.embedding.dataset import TrainingData
from models.training.embedding.run_state import Encoder
from models.training.embedding.validation import vectors

WRONG = 0.2
"""Share of the labels that are made wrong."""

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Noisy:
    """Pictures with their words: the labels they should have, and those they are given."""

    data: TrainingData
    words: Floats
    truth: Rows
    given: Rows

    @classmethod
    def of(
        cls, data: TrainingData, catalog: Catalog, encoder: SearchEncoder, seed: int = 0
    ) -> Noisy:
        """The pictures of one catalog, a fifth of them under another product's id."""
        texts = {catalog.locate(one.image or ""): one.title for one in catalog.products}
        texts |= {catalog.locate(one.image): one.text or "" for one in catalog.photos}
        sources, truth = data.pictures.sources, data.pictures.ids
        said = text_vectors([texts[source.path] for source in sources], encoder)
        return cls(data, said, truth, corrupt(truth, WRONG, seed))

    def curated(self, tower: Encoder) -> tuple[Curated, Recovery]:
        """What curation by a tower's eyes makes of the given labels."""
        store = self.data.store
        seen = unit(vectors(tower, store, store.clean()))
        # Colour is the last of the parts, see `Projection.parts`.
        width = store.projection.colour.matrix.shape[1]
        colour = store.parts(store.clean())[:, -width:]
        documents = Documents(
            labels=self.given,
            names=tuple(f"{number:06}" for number in range(int(self.truth.max()) + 1)),
            views=(
                View("picture", tight(seen)),
                View("colour", tight(unit(colour))),
                View("text", tight(self.words), judge="text"),
            ),
        )
        found = curate(documents)
        return found, recovery(self.truth, self.given, found.flagged, found.suggested)


def recovery_in(
    folder: Path,
    encoder: SearchEncoder,
    progress: Callable[[int, int], None] = lambda done, total: None,
    seed: int = 0,
) -> Recovery:
    """What ``lookstream curate`` finds in all splits of a catalog folder, a fifth of its ids made
    wrong; wrong ones are drawn from all products."""
    documents = read_documents(folder, encoder, None, progress)
    truth = documents.labels
    wrong = replace(documents, labels=corrupt(truth, WRONG, seed))
    found = curate(wrong)
    return recovery(truth, wrong.labels, found.flagged, found.suggested)
