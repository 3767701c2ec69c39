"""`GET /live`: the feed of catalog events as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import StreamingResponse

from workers.web.context import context_of
from workers.web.guard import needs
from workers.web.live_feed import LiveFeed

BEAT_S = 15.0
"""A comment is sent so often, so that proxies keep the connection open."""

check_search = needs("search")


async def live(request: Request) -> StreamingResponse:
    """Catalog events from now on: `arrived`, then `searchable`, `superseded` or `refused`."""
    await check_search(request)
    return StreamingResponse(
        _lines(context_of(request).live),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _lines(feed: LiveFeed) -> AsyncIterator[bytes]:
    async with feed.watch() as watcher:
        yield b": watching\n\n"
        while True:
            try:
                line = await asyncio.wait_for(watcher.get(), BEAT_S)
                yield b"data: " + line + b"\n\n"
            except TimeoutError:
                yield b": still here\n\n"
