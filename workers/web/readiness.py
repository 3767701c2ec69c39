"""`GET /readyz`: can a query be answered, and how far is the ingest worker behind?"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from stream.errors import StreamError
from stream.messages import Query
from workers.config.settings import Settings
from workers.deploy.lag import behind, group_lag
from workers.web.gateway import Gateway

FRESH_S = 5.0
"""How long an answer is given again: health checks come often, and each asks a query."""


@dataclass(frozen=True)
class Report:
    """What was found out; `checks` has what each part said."""

    ready: bool
    checks: dict[str, Any]


class Readiness:
    """Finds out at most every five seconds.

    Args:
        settings: which consumer groups there are.
        gateway: what a query is asked through.
        clock: gives seconds.
    """

    def __init__(
        self,
        settings: Settings,
        gateway: Gateway,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._gateway = gateway
        self._clock = clock
        self._lock = asyncio.Lock()
        self._known: tuple[float, Report] | None = None

    async def report(self) -> Report:
        """Whether the broker, a query worker and the index answer."""
        async with self._lock:
            now = self._clock()
            if self._known is None or now - self._known[0] > FRESH_S:
                self._known = now, await self._find_out()
            return self._known[1]

    async def _find_out(self) -> Report:
        lag, answer = await asyncio.gather(_outcome(self._lag()), _outcome(self._ask()))
        ready = "error" not in lag and "error" not in answer
        return Report(ready, {"broker": lag, "search": answer})

    async def _lag(self) -> dict[str, Any]:
        lags = await asyncio.to_thread(group_lag, self._settings, "ingest")
        return {"ingest_lag": behind(lags)}

    async def _ask(self) -> dict[str, Any]:
        query = Query(query_id=f"ready-{uuid.uuid4().hex}", text="ready", top=1, schema=2)
        began = self._clock()
        result = await self._gateway.search(query)
        if result.error:
            return {"error": result.error.message}
        took_ms = round(1000 * (self._clock() - began), 1)
        return {
            "model_id": result.model_id,
            "bank_version": result.bank_version,
            "has_products": bool(result.items),
            "took_ms": took_ms,
        }


async def _outcome(check: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    try:
        return await check
    except StreamError as error:
        return {"error": str(error)}
