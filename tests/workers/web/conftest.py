"""The web app over topics that are not there, and a browser's client for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from tests.doubles.colours import picture_png
from tests.doubles.gateway import FakeGateway
from workers.config.sections import IntakeSettings
from workers.config.settings import Settings
from workers.intake.decode import decode_picture
from workers.intake.fetch import Fetcher
from workers.intake.local_file import read_file
from workers.web.api_keys import ApiKeys
from workers.web.app import make_app
from workers.web.context import WebContext
from workers.web.gateway import Gateway
from workers.web.guard import Access
from workers.web.live_feed import LiveFeed
from workers.web.pictures import Pictures
from workers.web.rate_limit import RateLimit
from workers.web.readiness import Readiness

Client = httpx.AsyncClient
Open = Callable[..., Client]


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def roots(tmp_path: Path) -> Path:
    """A folder that pictures may be read from, with one."""
    (tmp_path / "red.png").write_bytes(picture_png("red"))
    return tmp_path


@pytest.fixture
def pictures(roots: Path) -> Pictures:
    settings = IntakeSettings(roots=(roots,))

    async def fetch(reference: str) -> bytes:
        return read_file(reference, settings)

    async def decode(data: bytes) -> Any:
        return decode_picture(data, settings.max_pixels)

    return Pictures(cast(Fetcher, SimpleNamespace(fetch=fetch, decode=decode)), b"secret")


@pytest.fixture
async def open_client(gateway: FakeGateway, pictures: Pictures) -> AsyncIterator[Open]:
    """Make a client of the app with some access."""
    clients: list[Client] = []

    def make(**access: Any) -> Client:
        topics = cast(Gateway, gateway)
        settings = Settings()
        context = WebContext(
            settings,
            topics,
            pictures,
            Readiness(settings, topics),
            cast(LiveFeed, None),
        )
        given = {
            "keys": ApiKeys(()),
            "hosts": frozenset(),
            "origins": frozenset(),
            "rate": RateLimit(1000, 1000, lambda: 0.0),
            "max_body_bytes": 100_000,
        }
        app = make_app(context, Access(**{**given, **access}))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        clients.append(Client(transport=transport, base_url="http://127.0.0.1:8420"))
        return clients[-1]

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
def client(open_client: Open) -> Client:
    return open_client()
