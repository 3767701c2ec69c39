"""Weighing a catalog: its witnesses say how much each part of a query counts.

A minute or two on one core for a full sample, whatever the size of the catalog.
"""

from __future__ import annotations

import errno
import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from index.errors import SearchIndexError
from models.embedding.part_weights import MIN_ITEMS, weigh_parts
from models.embedding.protocol import CatalogEncoder
from models.progress import Progress, no_progress
from workers.catalog_index import CatalogIndex
from workers.config.settings import Settings
from workers.evidence.fitted import FittedFile, FittedWeights
from workers.evidence.predicted_attributes import (
    AttributePredictorFile,
    attribute_predictor_of,
    fit_attributes,
)
from workers.evidence.sample import PictureSample, open_sample
from workers.evidence.witnesses import (
    Pause,
    StoredItems,
    gather_witnesses,
    no_pause,
    sampled_items,
)

log = structlog.get_logger()

WEIGH_EVERY_S = 10.0
"""How often to look whether it is time."""
VIEWS, VIEWS_EACH = 1000, 4
"""Views in all, one of each picture at least, and at most of one picture."""


def weigh(
    sample: PictureSample,
    index: StoredItems,
    encoder: CatalogEncoder,
    of_items: int,
    *,
    progress: Progress = no_progress,
    pause: Pause = no_pause,
) -> FittedWeights | None:
    """The weights by a catalog's evidence now; None if there is too little.

    Args:
        sample: of its pictures.
        index: its items.
        encoder: of its items.
        of_items: how many it has.
        progress, pause: as in `gather_witnesses`.

    Raises:
        EvidenceError: the sample cannot be read.
        SearchIndexError: the index cannot.
    """
    sampled = sampled_items(sample, index) if encoder.has_parts else []
    if len(sampled) < MIN_ITEMS:
        return None
    each = min(VIEWS_EACH, max(1, VIEWS // len(sampled)))
    mild = range(0, 2 * each, 2)
    witnesses = gather_witnesses(sampled, encoder, mild, progress=progress, pause=pause)
    weighed = weigh_parts(witnesses, encoder.part_weights(witnesses.items))
    return FittedWeights.of(weighed, encoder.model_id, of_items)


def weighing_of(
    settings: Settings, index: CatalogIndex, encoder: CatalogEncoder
) -> Weighing | None:
    """What weighs the catalog of the settings; None if they forbid it, or there are no parts."""
    if not (settings.ingest.weigh_parts and encoder.has_parts):
        return None
    sample = open_sample(settings, encoder.model_id)
    file = FittedFile(settings, encoder.model_id)
    return Weighing(sample, index, encoder, file, attribute_predictor_of(settings, encoder))


class Weighing:
    """Weighs a catalog when its first items are there, and whenever it has doubled.

    Then it also learns what the catalog's products teach, if there is a file for that.

    Attributes:
        sample: of the catalog's pictures.
    """

    def __init__(
        self,
        sample: PictureSample,
        index: CatalogIndex,
        encoder: CatalogEncoder,
        file: FittedFile,
        own: AttributePredictorFile | None = None,
    ) -> None:
        self.sample = sample
        self._own = own
        self._index = index
        self._encoder = encoder
        self._file = file
        self._tried_at = 0

    def check(self, progress: Progress = no_progress, pause: Pause = no_pause) -> bool:
        """Weigh the catalog if it is time; whether that was tried."""
        items = self._index.recent_count()
        if items < 2 * self._tried_at or not self._due(items):
            return False
        self._tried_at = items  # whatever comes of it: what is broken stays so
        began = time.monotonic()
        try:
            with _alone(self._file.path.parent):
                if not self._due(items):  # somebody has done it meanwhile
                    return False
                fitted = self._weigh(items, progress, pause)
        except SearchIndexError:
            self._tried_at = 0  # but an index comes back
            raise
        seconds = round(time.monotonic() - began, 1)
        if fitted is None:
            log.info("too few pictures say how much the parts of a query count", items=items)
        else:
            log.info("the catalog's parts were weighed", seconds=seconds, **fitted.figures())
        return True

    def now(self, progress: Progress = no_progress) -> FittedWeights | None:
        """Weigh the catalog as it is, after whoever weighs it already; None for few pictures."""
        with _alone(self._file.path.parent):
            return self._weigh(self._index.count(), progress, no_pause)

    def _due(self, items: int) -> bool:
        last = self._file.read()
        return items >= max(MIN_ITEMS, 2 * last.of_items if last else 0)

    def _weigh(self, items: int, progress: Progress, pause: Pause) -> FittedWeights | None:
        fitted = weigh(
            self.sample, self._index, self._encoder, items, progress=progress, pause=pause
        )
        if fitted is not None:
            self._file.write(fitted)
        if self._own is not None:
            sampled = sampled_items(self.sample, self._index)
            words = fit_attributes((one.item for one in sampled), self._encoder.model_id)
            self._own.write(words)
            log.info("attributes of the catalog were learned", **words.figures())
        return fitted


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait for other processes that weigh this catalog; on a file system without locks, not."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "weighing.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP):
                raise
        yield
