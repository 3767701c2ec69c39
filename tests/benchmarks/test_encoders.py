"""The parts of `bench encoders`: another encoder takes over a shop; captions stay outside."""

import shutil
from pathlib import Path

import pytest

from tests.needs import needs_torch

pytestmark = needs_torch()

import orjson

from benchmarks.towers.switch import mixed, switch_encoder
from benchmarks.towers.tiny_siglip import caption_of
from benchmarks.towers.wordless import wordless_catalog
from models.catalog.folder import Product, read_catalog
from stream.messages import Result
from tests.paths import EXAMPLE
from workers.config.settings import load_settings
from workers.progress.tasks import Progress


def answered(*lists: tuple[str, str]) -> list[Result]:
    return [
        Result(query_id=str(number), generation=generation, model_id=model)
        for number, (generation, model) in enumerate(lists)
    ]


def test_lists_of_two_encoders_are_counted() -> None:
    one, two = ("g1", "old"), ("g2", "new")
    assert mixed(answered(one, one, two, two), "new") == 0
    assert mixed(answered(one, one), "new") == 0
    assert mixed(answered(one, two, one, two), "new") == 1  # the old one after the new
    assert mixed(answered(("g1", "new"), one), "new") == 3  # and one index searched by both


def test_a_wordless_catalog_has_pictures_alone(tmp_path: Path) -> None:
    captions = wordless_catalog(EXAMPLE, tmp_path)
    found = read_catalog(tmp_path).products
    assert [one.product_id for one in found] == [product for product, _ in captions]
    assert not any(one.text or one.category for one in found)
    assert all((tmp_path / (one.image or "")).is_file() for one in found)


def test_a_caption_is_what_the_picture_shows() -> None:
    row = "A red 1.5 l pot with handles and brass details. Height 13.1 cm. Pattern: dots."
    product = Product(product_id="p", description=row)
    assert caption_of(product) == "A red 1.5 l pot with handles and brass details"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_another_encoder_takes_over_while_queries_and_changes_go_on(tmp_path: Path) -> None:
    rows = (EXAMPLE / "products.jsonl").read_bytes().splitlines()[:40]
    (tmp_path / "products.jsonl").write_bytes(b"\n".join(rows))
    for row in rows:
        image = tmp_path / orjson.loads(row)["image"]
        image.parent.mkdir(exist_ok=True)
        shutil.copyfile(EXAMPLE / image.relative_to(tmp_path), image)
    found = switch_encoder(load_settings(), tmp_path, "lite0", "lite2", Progress())
    assert found["switch_queries"] > 20
    assert 0 < found["switch_by_new"] < found["switch_queries"]
    assert (found["switch_failed"], found["switch_mixed"], found["switch_lost"]) == (0, 0, 0)
