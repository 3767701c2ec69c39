"""Pictures of candidates, for a reranker that looks at them.

They are fetched as the index names them, with the limits and the politeness of every other picture
(`workers.intake.fetch`), made as small as the reranker sees them, and kept while there is room.
What cannot be had is not asked for again for a while.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

import structlog

from models.errors import PictureError
from models.images.letterbox import Picture
from models.reranking.listwise_prompt import as_shown
from models.reranking.protocol import Candidate
from workers.errors import DecoderError, IntakeError
from workers.intake.fetch import Fetcher
from workers.intake.reasons import full_reason

log = structlog.get_logger()

FORGET_S = 300.0
"""After this a picture that could not be had is asked for again."""

Key = tuple[str, str]
"""Where it lies, and the digest of the item when it was indexed: another picture has another."""


class CandidatePictures:
    """Fetches and keeps pictures of candidates; made where the event loop of `fetcher` runs.

    Args:
        fetcher: what fetches and decodes.
        most_bytes: of all pictures that are kept; each has at most 250 kB.
        clock: seconds, of `time.monotonic`.
    """

    def __init__(
        self, fetcher: Fetcher, most_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetcher = fetcher
        self._loop = asyncio.get_running_loop()
        self._most_bytes = most_bytes
        self._clock = clock
        # Both are touched in the event loop alone.
        self._kept: OrderedDict[Key, Picture] = OrderedDict()
        self._bytes = 0
        self._missing: OrderedDict[Key, float] = OrderedDict()

    def get(self, candidates: Sequence[Candidate], within_s: float) -> list[Picture | None]:
        """Their pictures, None where one cannot be had in time; called from another thread."""
        return asyncio.run_coroutine_threadsafe(
            self.fetch(candidates, within_s), self._loop
        ).result()

    async def fetch(self, candidates: Sequence[Candidate], within_s: float) -> list[Picture | None]:
        """As `get`, in the event loop."""
        keys = [None if one.image is None else (one.image, one.digest) for one in candidates]
        wanted = {key for key in keys if key is not None}
        found = {key: self._kept[key] for key in wanted if key in self._kept}
        for key in found:
            self._kept.move_to_end(key)
        tasks = {
            asyncio.create_task(self._one(key)): key
            for key in wanted - found.keys()
            if not self._is_missing(key)
        }
        if tasks:
            done, late = await asyncio.wait(
                tasks, timeout=None if math.isinf(within_s) else max(0.0, within_s)
            )
            for task in late:
                task.cancel()
            for one in done:
                if (picture := one.result()) is not None:
                    found[tasks[one]] = picture
        return [None if key is None else found.get(key) for key in keys]

    async def _one(self, key: Key) -> Picture | None:
        try:
            decoded = await self._fetcher.decode(await self._fetcher.fetch(key[0]))
            picture = as_shown(decoded.picture)
        except (IntakeError, PictureError) as error:
            self._missing[key] = self._clock() + FORGET_S
            while len(self._missing) > 10_000:
                self._missing.popitem(last=False)
            why = full_reason(key[0], error) if isinstance(error, IntakeError) else str(error)
            log.info("a candidate is compared by its words", why=why)
            return None
        except DecoderError as error:
            log.warning("pictures of candidates cannot be decoded", why=str(error))
            return None
        self._keep(key, picture)
        return picture

    def _is_missing(self, key: Key) -> bool:
        until = self._missing.get(key)
        if until is None:
            return False
        if self._clock() < until:
            return True
        del self._missing[key]
        return False

    def _keep(self, key: Key, picture: Picture) -> None:
        if key in self._kept:  # two queries fetched it at once
            return
        self._kept[key] = picture
        self._bytes += picture.nbytes
        while self._bytes > self._most_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.nbytes
