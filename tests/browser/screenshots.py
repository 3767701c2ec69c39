"""Takes the pictures of the page that the documents show: `python -m tests.browser.screenshots`.

They go to `docs/`: look at each of them before they are kept.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import httpx
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.conftest import (
    address,
    chromium,
    photo_of_shown,
    running_stack,
    send_catalog,
)
from tests.paths import ROOT
from workers.config.settings import Settings

WIDE = (1280, 900)
SMALL = (375, 812)
SHOWN = """[...document.querySelectorAll(".item img")]
  .filter((one) => one.getBoundingClientRect().top < innerHeight)
  .every((one) => one.complete && one.naturalWidth)"""
PRICES = {"Arla-Standard-Milk": 1.2, "Oatly-Oat-Milk": 2.1, "Alpro-Fresh-Soy-Milk": 1.9}


def main() -> None:
    """Take them all."""
    with sync_playwright() as playwright, running_stack() as settings:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        with tempfile.TemporaryDirectory() as folder:
            send_catalog(settings, Path(folder))
        results(browser, settings)  # the first answer takes longer, so once more
        results(browser, settings)
        why(browser, settings)
        live(browser, settings)
        small(browser, settings)
        browser.close()


def results(browser: Browser, settings: Settings) -> None:
    """A photo, its facets, its results."""
    page = open_page(browser, settings, WIDE)
    search_photo(page)
    page.get_by_role("button", name="What counts in it").click()
    keep(page, "page")


def why(browser: Browser, settings: Settings) -> None:
    """Why the first result stands where it does."""
    page = open_page(browser, settings, WIDE)
    search_photo(page)
    page.get_by_role("button", name="Why?").first.click()
    expect(page.locator(".why figure").first).to_be_visible()
    page.locator(".item").first.scroll_into_view_if_needed()
    page.evaluate("document.querySelector('#columns').scrollIntoView()")
    keep(page, "page-why")


def live(browser: Browser, settings: Settings) -> None:
    """In the dark, prices change and become searchable."""
    page = open_page(browser, settings, WIDE, dark=True)
    search_photo(page)
    rows = page.locator("#live-events li .searchable")
    for product_id, price in PRICES.items():
        path = f"products/{product_id}?wait=searchable"
        httpx.patch(address(settings) + path, json={"price": price}, timeout=20).raise_for_status()
    expect(rows).to_have_count(len(PRICES))
    keep(page, "page-live")


def small(browser: Browser, settings: Settings) -> None:
    """On a telephone."""
    page = open_page(browser, settings, SMALL)
    search_photo(page)
    keep(page, "page-small", full_page=True, height=1100)


def open_page(
    browser: Browser, settings: Settings, size: tuple[int, int], *, dark: bool = False
) -> Page:
    """The page in a new tab, ready."""
    page = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if dark else "light",
        locale="en-GB",
        bypass_csp=True,
    ).new_page()
    with page.expect_response("**/live"):
        page.goto(address(settings))
    expect(page.locator("#health")).to_contain_text("ready")
    return page


def search_photo(page: Page) -> None:
    """Ask with the photo, and wait for its results and their pictures."""
    page.locator("#file").set_input_files(photo_of_shown())
    expect(page.locator(".item").first).to_be_visible()
    page.wait_for_function(SHOWN)


def keep(page: Page, name: str, *, full_page: bool = False, height: int | None = None) -> None:
    """Write what is shown as a picture of the documents, of the whole page down to `height`."""
    shot: Image.Image = Image.open(io.BytesIO(page.screenshot(full_page=full_page)))
    if height is not None:
        shot = shot.crop((0, 0, shot.width, min(height, shot.height)))
    shot.convert("RGB").save(ROOT / "docs" / f"{name}.webp", quality=85, method=6)
    page.context.close()


if __name__ == "__main__":
    main()
