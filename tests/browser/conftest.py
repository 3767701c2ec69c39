"""A running stack with a small catalog, and Chromium to look at its page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from models.synthetic.arrangement import arrange
from models.synthetic.near_duplicates import sample_product
from models.synthetic.scene import Renderer
from stream.publisher import Publisher, wait_committed
from tests.paths import EXAMPLE as GROCERY
from workers.config.settings import Settings, load_settings
from workers.config.wiring import kafka_of, topics_of
from workers.deploy.ephemeral import ephemeral_settings
from workers.deploy.supervisor import Stack
from workers.jobs.catalog_source import folder_source
from workers.jobs.produce import produce_catalog

PRODUCTS = 30
SCENE_SIDE, SCENE_SEED = 448, 19
SHOWN = "Bravo-Orange-Juice"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = chromium()
    if found is None:
        pytest.skip("no Chromium: `apt-get install chromium`, or set LOOKSTREAM_TEST_CHROMIUM")
    # Playwright's event loop runs in this thread until it is stopped: no test of another module may
    # come before that.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def stack(browser: Browser) -> Iterator[Settings]:
    """All workers, with nothing in the catalog yet."""
    with running_stack() as settings:
        yield settings


@pytest.fixture(scope="module")
def shop(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The stack with thirty products, whose pictures are files."""
    send_catalog(stack, tmp_path_factory.mktemp("catalog"))
    return stack


@contextmanager
def running_stack() -> Iterator[Settings]:
    """All workers; the example's pictures may be read."""
    given = load_settings().model_dump()
    given["intake"]["roots"] = [GROCERY]
    settings = Settings.model_validate(given)
    with ephemeral_settings(settings, "browser") as ephemeral, Stack(ephemeral) as running:
        running.wait_ready()
        yield ephemeral


def send_catalog(stack: Settings, folder: Path) -> None:
    """Write thirty products into a folder, and send them."""
    products = [one for one in _rows("products.jsonl") if one["category"][0] == "Packages"]
    products = products[:PRODUCTS]
    for product in products:
        product |= {"image": str(GROCERY / product["image"]), "price": 2.5, "currency": "EUR"}
    (folder / "products.jsonl").write_bytes(b"\n".join(map(orjson.dumps, products)))
    kafka, topic = kafka_of(stack), topics_of(stack).catalog.name
    with Publisher(kafka) as publisher:
        produce_catalog(
            folder_source(folder), publisher, topic, inline=False, settings=stack.ingest
        )
        ends = publisher.flush()[topic]
    wait_committed(kafka, stack.group("ingest"), topic, ends, timeout_s=60)


@pytest.fixture
def photo() -> Path:
    """A shopper's photo of a product in the shop."""
    return photo_of_shown()


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo of three rendered products."""
    return rendered_scene(tmp_path_factory.mktemp("scene") / "scene.png")


def rendered_scene(path: Path) -> Path:
    """Write a photo of three rendered products."""
    renderer = Renderer(SCENE_SIDE)
    products = [sample_product(SCENE_SEED, 2 * index) for index in range(3)]
    Image.fromarray(renderer.render(arrange(products, 2).scene)).save(path)
    renderer.close()
    return path


def photo_of_shown() -> Path:
    """A shopper's photo of `SHOWN`."""
    photos = _rows("photos.jsonl")
    return GROCERY / str(next(one["image"] for one in photos if one["product_id"] == SHOWN))


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A new tab; an error of the page's own code fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(20_000)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert not errors


def chromium() -> str | None:
    """Where Chromium is."""
    return os.environ.get("LOOKSTREAM_TEST_CHROMIUM") or shutil.which("chromium")


def address(settings: Settings) -> str:
    """Where the page is."""
    return f"http://127.0.0.1:{settings.web.port}/"


def _rows(name: str) -> list[dict[str, Any]]:
    return [orjson.loads(row) for row in (GROCERY / name).read_bytes().splitlines()]
