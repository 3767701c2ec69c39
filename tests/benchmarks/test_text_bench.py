import numpy as np
import orjson
import pytest

from benchmarks import text
from benchmarks.text import CATALOGS, LANGUAGES, document, measure, ranks, read_products
from models.arrays import Floats
from models.synthetic.product_sampler import sample_original
from models.synthetic.rows import product_row
from tests.paths import EXAMPLE
from workers.progress.tasks import Progress


@pytest.mark.parametrize("catalog", CATALOGS)
def test_every_product_has_a_query_of_its_own_in_every_language(catalog: str) -> None:
    products = read_products(catalog)
    assert len({one["product_id"] for one in products}) == len(products)
    for language in LANGUAGES:
        queries = [one["queries"][language].strip() for one in products]
        assert all(queries)
        assert len(set(queries)) == len(queries), language
    titles = {one["title"] for one in products}
    assert not titles & {one["queries"]["zh"] for one in products}


def test_groceries_are_those_of_the_example() -> None:
    lines = (EXAMPLE / "products.jsonl").read_bytes().splitlines()
    example = {row["product_id"]: row for row in map(orjson.loads, lines)}
    found = {one["product_id"]: one for one in read_products("grocery")}
    assert found.keys() == example.keys()
    assert all(document(found[name]) == document(row) for name, row in example.items())


def test_synthetic_products_are_those_of_the_seed() -> None:
    for one in read_products("synthetic")[::20]:
        row = product_row(sample_original(26, int(one["product_id"].rpartition("-")[2])))
        assert document(row) == document(one)


def test_a_rank_counts_what_is_as_near_as_well() -> None:
    documents = np.eye(3, dtype=np.float32)
    queries = np.array([[1, 0, 0], [1, 1, 0], [0, 0.5, 0.4]], np.float32)
    assert ranks(queries, documents).tolist() == [0, 1, 1]


def test_rates_are_means_over_catalogs(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["milk", "bread", "soap", "lamp"]
    of_word = dict(zip(words, np.eye(4, dtype=np.float32), strict=True))

    def products(catalog: str) -> list[text.Product]:
        return [
            {
                "title": word,
                "description": "",
                "category": [""],
                "queries": dict.fromkeys(LANGUAGES, word if catalog == "grocery" else words[0]),
            }
            for word in words
        ]

    def encode(typed: str) -> Floats:
        return of_word.get(typed.partition(".")[0], np.zeros(4, np.float32))

    monkeypatch.setattr(text, "read_products", products)
    rates = measure(encode, 0, Progress(), "a test")
    assert set(rates["r1"]) == set(LANGUAGES)
    assert rates["r1"]["zh"] == pytest.approx((1 + 1 / 4) / 2)
    assert rates["r5"]["zh"] == 1
    assert rates["typo_r1"]["en"] < rates["r1"]["en"]
