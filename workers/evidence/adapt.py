"""Adapting a catalog: a query map learned from views of its own pictures, if its exam passes.

Some minutes on one core for a full sample, nearly all of it the views. Nothing is encoded again or
written to the index.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import structlog

from index.errors import SearchIndexError
from models.embedding.adapt import Exam, check_products
from models.embedding.adaptation import Adaptation, adapt_weights
from models.embedding.layout import PartWeights
from models.embedding.protocol import CatalogEncoder
from models.errors import AdaptationError
from models.progress import Progress, no_progress
from workers.config.settings import Settings
from workers.evidence.adapted import AdaptedFile
from workers.evidence.fitted import FittedFile
from workers.evidence.sample import PictureSample
from workers.evidence.witnesses import (
    Pause,
    SampledItem,
    StoredItems,
    gather_witnesses,
    no_pause,
    sampled_items,
)

log = structlog.get_logger()

ADAPT_EVERY_S = 10.0
"""How often to look whether it is time."""

VIEWS = range(4)
"""Of each picture: two mild ones and two strong ones."""

TIMED = 4
"""Pictures whose views are timed to say how long those of all will take."""


@dataclass(frozen=True)
class Adapted:
    """What came of it.

    Attributes:
        exam: held-out products, before and after.
        promoted: whether the new map is in place; otherwise what was there is kept.
        had_one: whether there was a map before.
        items, views: what was learned from.
    """

    exam: Exam
    promoted: bool
    had_one: bool
    items: int
    views: int

    def report(self) -> dict[str, object]:
        """The figures under their JSON keys."""
        return {
            "promoted": self.promoted,
            "had_one": self.had_one,
            "items": self.items,
            "views": self.views,
            "exam": asdict(self.exam),
        }


def adapt_catalog(
    sampled: Sequence[SampledItem],
    encoder: CatalogEncoder,
    fitted: FittedFile,
    file: AdaptedFile,
    *,
    progress: Progress = no_progress,
    pause: Pause = no_pause,
) -> Adapted:
    """Learn a query map for the live catalog and, if its exam passes, put it in place.

    The exam compares with the part weights alone, also where a map is in place: that one has seen
    the products that the exam holds out.

    Args:
        sampled: pictures of the catalog with their items, at least one.
        encoder: of the index.
        fitted: the part weights that the catalog has of its own, read when the views are there.
        file: where the map goes.
        progress, pause: as in `gather_witnesses`.

    Raises:
        AdaptationError: there are too few products.
    """
    had_one = file.read() is not None
    check_products(_products(sampled))
    witnesses = gather_witnesses(sampled, encoder, VIEWS, progress=progress, pause=pause)
    own = fitted.read()
    before = own.weights if own else encoder.part_weights(witnesses.items)
    weights, exam = adapt_weights(witnesses, before)
    if weights.query_map is not None:
        version = own.version if own else ""
        file.write(Adaptation(encoder.model_id, weights, version, exam, len(sampled), time.time()))
    return Adapted(
        exam,
        promoted=weights.query_map is not None,
        had_one=had_one,
        items=len(sampled),
        views=len(sampled) * len(VIEWS),
    )


def adapt_to_views(
    sampled: Sequence[SampledItem],
    encoder: CatalogEncoder,
    weights: PartWeights,
    progress: Progress = no_progress,
) -> tuple[PartWeights, Exam]:
    """As `adapt_catalog`, with the weights that queries have, and without a file."""
    check_products(_products(sampled))
    witnesses = gather_witnesses(sampled, encoder, VIEWS, progress=progress)
    return adapt_weights(witnesses, weights)


def estimate_s(sampled: Sequence[SampledItem], encoder: CatalogEncoder) -> float:
    """About how many seconds the views will take here; some are encoded to find out."""
    gather_witnesses(sampled[:1], encoder, VIEWS)  # the first call takes longer than others
    began = time.monotonic()
    timed = sampled[:TIMED]
    gather_witnesses(timed, encoder, VIEWS)
    return (time.monotonic() - began) * len(sampled) / len(timed)


def _products(sampled: Sequence[SampledItem]) -> int:
    return len({one.item.product_id for one in sampled})


def adapting_of(
    settings: Settings, sample: PictureSample, index: StoredItems, encoder: CatalogEncoder
) -> Adapting | None:
    """What adapts the catalog in the background; None unless the settings say so."""
    if not settings.ingest.adapt:
        return None
    return Adapting(sample, index, encoder, settings)


class Adapting:
    """Adapts a catalog in the background, once after each time that it was weighed."""

    def __init__(
        self,
        sample: PictureSample,
        index: StoredItems,
        encoder: CatalogEncoder,
        settings: Settings,
    ) -> None:
        self._sample = sample
        self._index = index
        self._encoder = encoder
        self._fitted = FittedFile(settings, encoder.model_id)
        self._adapted = AdaptedFile(settings, encoder.model_id)
        self._tried = ""

    def check(self, pause: Pause = no_pause) -> bool:
        """Adapt the catalog if it is time; whether that was tried."""
        fitted, adapted = self._fitted.read(), self._adapted.read()
        done = {self._tried, adapted.weights_version if adapted else ""}
        if fitted is None or fitted.version in done:
            return False
        self._tried = fitted.version  # whatever comes of it: what is broken stays so
        try:
            sampled = sampled_items(self._sample, self._index)
            found = adapt_catalog(sampled, self._encoder, self._fitted, self._adapted, pause=pause)
        except AdaptationError as error:
            log.info("the catalog cannot be adapted", why=str(error))
        except SearchIndexError:
            self._tried = ""  # but an index comes back
            raise
        else:
            exam = found.exam
            log.info(
                "the catalog was adapted, if that is better",
                promoted=found.promoted,
                items=found.items,
                gain=round(exam.gain, 3),
                error=round(exam.error, 3),
            )
        return True
