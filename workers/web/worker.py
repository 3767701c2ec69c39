"""The web worker: HTTP in front of the topics, until a signal comes."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import closing
from ipaddress import ip_address

import structlog
import uvicorn

from workers.config.secrets import secret
from workers.config.settings import Settings
from workers.config.wiring import catalog_topics, kafka_of, topics_of
from workers.errors import SettingsError
from workers.ingest.read_event import reader_of
from workers.intake.fetch import open_fetcher
from workers.web.api_keys import read_keys
from workers.web.app import make_app
from workers.web.context import WebContext
from workers.web.gateway import Gateway
from workers.web.guard import Access
from workers.web.live_feed import LiveFeed
from workers.web.pictures import Pictures
from workers.web.rate_limit import RateLimit
from workers.web.readiness import Readiness

log = structlog.get_logger()

GRACE_S = 5
"""How long requests under way may take once a signal came."""


def run_web(settings: Settings) -> None:
    """Answer requests until a signal comes.

    Raises:
        SettingsError: a key is none, or there are none and the address is not loopback's.
        BrokerError: Kafka does not answer.
    """
    asyncio.run(_serve(settings, access_of(settings)))


def access_of(settings: Settings) -> Access:
    """Who may ask, by the settings; raises `SettingsError`."""
    web = settings.web
    keys = read_keys(web.keys, web.keys_file)
    if not keys and not _is_loopback(web.host):
        raise SettingsError(
            f"web.host is {web.host}, so that anybody on the network could change the catalog: "
            "make a key with `lookstream keys NAME` and put its line into web.keys_file"
        )
    return Access(
        keys=keys,
        hosts=frozenset(name.lower() for name in web.hosts),
        origins=frozenset(origin.rstrip("/").lower() for origin in web.cors_origins),
        rate=RateLimit(web.rate_per_s, web.burst, time.monotonic),
        max_body_bytes=web.max_body_bytes,
    )


async def _serve(settings: Settings, access: Access) -> None:
    kafka, topics, web = kafka_of(settings), topics_of(settings), settings.web
    signature = (secret(web, "link_secret") or secrets.token_hex(32)).encode()
    gateway = await asyncio.to_thread(Gateway, kafka, topics, web.timeout_s)
    with closing(gateway):
        async with open_fetcher(settings.intake) as fetcher:
            live = LiveFeed(kafka, catalog_topics(settings), reader_of(settings), gateway)
            context = WebContext(
                settings, gateway, Pictures(fetcher, signature), Readiness(settings, gateway), live
            )
            server = uvicorn.Server(
                uvicorn.Config(
                    make_app(context, access),
                    host=web.host,
                    port=web.port,
                    log_config=None,
                    access_log=False,
                    server_header=False,
                    timeout_graceful_shutdown=GRACE_S,
                )
            )
            log.info("worker ready", worker="web", address=f"http://{web.host}:{web.port}")
            await server.serve()
            live.close()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
