"""The page in a real browser, over the real stack: what shoppers see in every state."""

from __future__ import annotations

from pathlib import Path

import httpx
import orjson
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Page, Response, Route, expect

from stream.records import read_topic
from tests.browser.conftest import address
from workers.config.settings import Settings
from workers.config.wiring import kafka_of, topics_of

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(300)]

SERIOUS = ("serious", "critical")
PROBLEM = "application/problem+json"


def check_accessible(page: Page) -> None:
    """Raise where axe-core finds something serious."""
    found = Axe().run(page).response["violations"]
    assert [one["id"] for one in found if one["impact"] in SERIOUS] == []


def sent_bytes(answer: Response) -> int:
    """How long the request of an answer was."""
    return int(answer.request.header_value("content-length") or 0)


def search_words(page: Page, words: str) -> None:
    page.get_by_label("Words, with or instead of a picture").fill(words)
    page.get_by_role("button", name="Search").click()


def test_an_empty_catalog_says_so(page: Page, stack: Settings) -> None:
    page.goto(address(stack))
    expect(page.locator("#health")).to_contain_text("ready")
    search_words(page, "milk")
    expect(page.locator("#status")).to_contain_text("Is the catalog empty?")
    check_accessible(page)


def test_a_photo_finds_its_product(page: Page, shop: Settings, photo: Path) -> None:
    page.goto(address(shop))
    page.locator("#file").set_input_files(photo)
    first = page.locator(".item").first
    expect(first.locator(".badge")).to_have_text("the product")
    expect(first.locator(".probability")).to_contain_text("%")
    expect(first.locator(".offer")).to_contain_text("2.50")
    picture = first.locator("img")
    expect(picture).to_have_js_property("complete", True)
    assert picture.evaluate("one => one.naturalWidth") > 50
    check_accessible(page)


def test_a_box_searches_for_that_part(page: Page, shop: Settings, photo: Path) -> None:
    page.goto(address(shop))
    with page.expect_response("**/search") as whole:
        page.locator("#file").set_input_files(photo)
    assert sent_bytes(whole.value) > photo.stat().st_size
    edges = page.locator("#stage").bounding_box()
    assert edges is not None
    with page.expect_response("**/search") as part:
        page.mouse.move(edges["x"] + 20, edges["y"] + 20)
        page.mouse.down()
        page.mouse.move(edges["x"] + 100, edges["y"] + 120)
        page.mouse.up()
    assert part.value.ok
    expect(page.locator("#box")).to_be_visible()
    assert sent_bytes(part.value) < sent_bytes(whole.value)
    with page.expect_response("**/search"):
        page.get_by_role("button", name="Whole picture").click()
    expect(page.locator("#box")).to_be_hidden()


def test_each_product_of_a_picture_has_results_of_its_own(
    page: Page, shop: Settings, scene: Path
) -> None:
    page.goto(address(shop))
    page.locator("#file").set_input_files(scene)
    expect(page.locator(".item").first).to_be_visible()
    objects = page.get_by_role("group", name="Products in the picture")
    expect(objects).to_be_hidden()
    with page.expect_response("**/search") as answered:
        page.get_by_role("button", name="Each product in it").click()
    groups = answered.value.json()["groups"]
    assert len(groups) >= 2
    expect(page.locator("#frames i")).to_have_count(len(groups))
    expect(objects.get_by_role("button")).to_have_count(1 + len(groups))
    check_accessible(page)
    objects.get_by_role("button", name="Product 2").click()
    shown = [item["title"] for item in groups[1]["items"]]
    expect(page.locator(".item .title")).to_have_text(shown)
    expect(page.locator("#frames .chosen")).to_have_count(1)
    objects.get_by_role("button", name="Whole picture").click()
    whole = [item["title"] for item in answered.value.json()["items"]]
    expect(page.locator(".item .title")).to_have_text(whole)
    page.get_by_role("button", name="Remove").click()
    search_words(page, "apple")
    expect(objects).to_be_hidden()


def test_a_picture_of_one_product_says_so(page: Page, shop: Settings, tmp_path: Path) -> None:
    plain = tmp_path / "plain.png"
    Image.new("RGB", (200, 200), (180, 30, 40)).save(plain)
    page.goto(address(shop))
    page.locator("#file").set_input_files(plain)
    expect(page.locator(".item").first).to_be_visible()
    page.get_by_role("button", name="Each product in it").click()
    expect(page.locator("#status")).to_contain_text("shows one product, or none that stands out")


def test_a_facet_narrows_and_a_filter_that_is_wrong_says_where(page: Page, shop: Settings) -> None:
    page.goto(address(shop))
    search_words(page, "juice")
    refine = page.get_by_role("complementary", name="Refine")
    juices = refine.locator("label", has_text="Packages › Juice")
    count = int(juices.locator(".count").inner_text())
    juices.get_by_role("checkbox").check()
    expect(page.locator("#status")).to_contain_text(f"{count} products")
    paths = page.locator(".item .path")
    expect(paths).to_have_count(min(count, 24))
    assert set(paths.all_inner_texts()) == {"Packages › Juice"}
    check_accessible(page)
    refine.get_by_label("Filter").fill("price:>cheap")
    refine.get_by_label("Filter").press("Enter")
    expect(page.locator("#status.problem")).to_contain_text("character")
    refine.get_by_label("Filter").fill("price:>100")
    refine.get_by_label("Filter").press("Enter")
    expect(page.locator("#status")).to_contain_text("No product passes the filter")


def test_the_second_page_and_the_order(page: Page, shop: Settings) -> None:
    page.goto(address(shop))
    search_words(page, "juice")
    expect(page.locator("#page-number")).to_have_text("Page 1 of 2")
    first = set(page.locator(".item .title").all_inner_texts())
    page.get_by_role("button", name="Next").click()
    expect(page.locator("#page-number")).to_have_text("Page 2 of 2")
    expect(page.locator(".item").first).to_be_visible()
    second = page.locator(".item .title").all_inner_texts()
    assert second
    assert not first & set(second)
    page.get_by_label("Order").select_option("price:desc")
    expect(page.locator("#page-number")).to_have_text("Page 1 of 2")


def test_why_a_result_stands_where_it_does(page: Page, shop: Settings, photo: Path) -> None:
    page.goto(address(shop))
    page.locator("#file").set_input_files(photo)
    why = page.get_by_role("button", name="Why?").first
    why.click()
    expect(page.locator(".why dd").first).to_be_visible()
    expect(page.locator(".why .compared").first).to_contain_text("of the 10 compared side by side")
    expect(page.locator(".why figure")).to_have_count(4)
    expect(page.locator(".why figure canvas")).to_have_count(8)
    expect(why).to_have_attribute("aria-expanded", "true")
    check_accessible(page)
    page.get_by_role("button", name="What counts in it").click()
    expect(page.locator("#kept i").first).to_be_visible()
    why.click()
    expect(page.locator(".why")).to_have_count(0)


def test_what_a_picture_told_is_not_shown_as_the_shops_word(page: Page, shop: Settings) -> None:
    told = {"colour": "orange", "category": ["Packages", "Juice"]}

    def answer(route: Route) -> None:
        response = route.fetch()
        result = response.json()
        result["items"][0]["suggested"] = told
        route.fulfill(response=response, json=result)

    page.route("**/search", answer)
    page.goto(address(shop))
    search_words(page, "juice")
    first = page.locator(".item").first
    first.get_by_role("button", name="Why?").click()
    expect(first.locator(".why .suggested")).to_have_text(
        "Predicted from its picture, not said by the shop: orange, Packages › Juice"
    )
    check_accessible(page)


def test_more_like_a_result(page: Page, shop: Settings) -> None:
    page.goto(address(shop))
    search_words(page, "juice")
    title = page.locator(".item .title").first.inner_text()
    page.get_by_role("button", name="More like this").first.click()
    expect(page.locator("#status")).to_contain_text(f"More like “{title}”")
    assert title not in page.locator(".item .title").all_inner_texts()
    search_words(page, "milk")
    expect(page.locator("#status")).not_to_contain_text("More like")


def test_a_click_reaches_the_topic(page: Page, shop: Settings) -> None:
    page.goto(address(shop))
    search_words(page, "apple")
    link = page.locator(".item .shot").first
    with page.expect_response("**/events") as sent, page.expect_popup():
        link.click()
    assert sent.value.status == 202
    clicks = [
        orjson.loads(one.value or b"{}")
        for one in read_topic(kafka_of(shop), topics_of(shop).click.name)
    ]
    assert clicks[-1]["click_id"] == sent.value.json()["click_id"]


def test_catalog_events_show_as_they_come(page: Page, shop: Settings) -> None:
    page.goto(address(shop))
    with page.expect_response("**/live"):
        page.reload()
    rows = page.locator("#live-events li")
    with httpx.Client(base_url=address(shop), timeout=60) as client:
        for _ in range(20):  # until the feed has begun
            client.put("/products/new-one?wait=searchable", json={"title": "A new one"})
            if rows.count():
                break
    expect(rows.first).to_contain_text("new-one")
    expect(rows.first).to_contain_text("searchable")
    expect(page.locator("#live-rate")).to_contain_text("searchable after")


def test_with_the_keyboard_alone(page: Page, shop: Settings) -> None:
    page.goto(address(shop))
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "words":
            break
    page.keyboard.type("apple")
    page.keyboard.press("Enter")
    expect(page.locator(".item").first).to_be_visible()
    for _ in range(40):  # past the facets
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.className") == "shot":
            break
    else:
        raise AssertionError("no result can be reached")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(page: Page, shop: Settings, scheme: str) -> None:
    page.set_viewport_size({"width": 375, "height": 800})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(address(shop))
    search_words(page, "apple")
    expect(page.locator(".item").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    check_accessible(page)


def answer_with(status: int, detail: str):  # type: ignore[no-untyped-def]
    def fulfil(route: Route) -> None:
        body = orjson.dumps({"status": status, "code": "test", "detail": detail}).decode()
        route.fulfill(status=status, content_type=PROBLEM, body=body)

    return fulfil


@pytest.mark.parametrize(
    ("status", "detail"),
    [(422, "the picture is damaged"), (429, "too many requests"), (504, "no answer in 10 s")],
)
def test_an_error_is_shown_as_it_is(page: Page, shop: Settings, status: int, detail: str) -> None:
    page.goto(address(shop))
    page.route("**/search", answer_with(status, detail))
    search_words(page, "apple")
    expect(page.locator("#status.problem")).to_have_text(detail)
    check_accessible(page)
    page.unroute("**/search")
    search_words(page, "apple")
    expect(page.locator(".item").first).to_be_visible()
    expect(page.locator("#status.problem")).to_have_count(0)


def test_a_list_that_was_not_reranked_says_so(page: Page, shop: Settings) -> None:
    def late(route: Route) -> None:
        answer = route.fetch()
        result = answer.json()
        result["not_reranked"] = "the reranker did not answer in time"
        result["items"][0]["by_words"] = True
        route.fulfill(response=answer, json=result)

    page.goto(address(shop))
    page.route("**/search", late)
    search_words(page, "apple")
    expect(page.locator("#not-reranked")).to_have_text("the reranker did not answer in time")
    expect(page.locator(".item .path").first).to_contain_text("compared by its words alone")
    expect(page.locator(".item .path").last).not_to_contain_text("compared by its words")
    check_accessible(page)
    page.unroute("**/search")
    search_words(page, "apple")
    expect(page.locator("#not-reranked")).to_be_hidden()


def test_without_a_server(page: Page, shop: Settings) -> None:
    page.goto(address(shop))
    page.route("**/search", lambda route: route.abort())
    search_words(page, "apple")
    expect(page.locator("#status.problem")).to_contain_text("does not answer")


def test_a_slow_answer_and_a_second_question(page: Page, shop: Settings) -> None:
    page.goto(address(shop))
    held: list[Route] = []

    def hold(route: Route) -> None:  # Playwright takes no built-in function
        held.append(route)

    page.route("**/search", hold)
    search_words(page, "milk")
    expect(page.locator("#status")).to_have_text("Searching…")
    expect(page.locator(".skeleton").first).to_be_visible()
    page.unroute("**/search")
    search_words(page, "apple")
    expect(page.locator(".item").first).to_be_visible()
    assert len(held) == 1


def test_a_key_is_asked_for(page: Page, shop: Settings) -> None:
    page.goto(address(shop))
    page.route("**/search", answer_with(401, "give an API key"))
    search_words(page, "apple")
    expect(page.get_by_role("dialog")).to_be_visible()
    check_accessible(page)
    page.unroute("**/search")
    page.get_by_role("textbox", name="Key").fill("ls_word")
    with page.expect_request("**/search") as asked:
        page.get_by_role("button", name="Go on").click()
    assert asked.value.headers["authorization"] == "Bearer ls_word"


def test_what_is_no_picture_is_refused_here(page: Page, shop: Settings, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no picture")
    page.goto(address(shop))
    page.locator("#file").set_input_files(text)
    expect(page.locator("#status.problem")).to_contain_text("notes.txt is not a picture")


def test_the_description_of_the_api(page: Page, shop: Settings) -> None:
    page.goto(address(shop) + "docs")
    expect(page.get_by_role("heading", name="POST /search")).to_be_visible()
    check_accessible(page)
