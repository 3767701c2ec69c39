"""What the routes of the web worker share."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from workers.config.settings import Settings
from workers.web.gateway import Gateway
from workers.web.live_feed import LiveFeed
from workers.web.pictures import Pictures
from workers.web.readiness import Readiness


@dataclass(frozen=True)
class WebContext:
    """One for each process."""

    settings: Settings
    gateway: Gateway
    pictures: Pictures
    readiness: Readiness
    live: LiveFeed


def context_of(request: Request) -> WebContext:
    """The context of the app that a request came to."""
    context: WebContext = request.app.state.context
    return context
