"""Pages: filters, groups, orders and depths of an answer, through the query pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pytest

from index.item import Item
from models.arrays import Floats, unit
from models.embedding.protocol import Encoded
from models.juicer.juice import Juice
from models.reranking.linear import load_reranker
from models.reranking.no_match import none_by_probabilities
from models.reranking.protocol import Candidate, Contribution, Ranked
from stream.messages import QueryError, Result
from stream.records import Record
from stream.schema_1 import decode_result, encode_result
from tests.doubles.colours import ColourEncoder, data_uri, picture_uri, pixels
from workers.catalog_index import CatalogIndex
from workers.config.sections import IntakeSettings, QuerySettings
from workers.config.settings import Settings
from workers.intake.fetch import open_fetcher
from workers.query.prepared import RejectedQuery
from workers.query.steps import QueryPipeline

PRODUCTS, PICTURES = 30, 12
RED = {"image": picture_uri("red")}
WEIGHT = "images[1].weight"
CANDIDATES = 10


class CosineReranker:
    """Keeps the order of retrieval; the probability is the cosine, where it is above 0."""

    note = version = ""

    def rerank(
        self,
        query: Encoded,
        query_text: str | None,
        candidates: Sequence[Candidate],
        *,
        explain: bool = False,
    ) -> list[Ranked]:
        return [
            Ranked(
                index=index,
                score=max(0.0, min(1.0, one.similarity)),
                level=0,
                probabilities=(1.0, 0.0, 0.0, 0.0),
                comparison=one.similarity,
                null=0.0,
                why=(Contribution("similarity", one.similarity, 0.5),) if explain else (),
            )
            for index, one in enumerate(candidates)
        ]

    def none_of_these(self, ranked: Sequence[Ranked]) -> float:
        return none_by_probabilities(ranked)


@dataclass(frozen=True)
class Shop:
    """A query worker without Kafka, and what is in its index."""

    pipeline: QueryPipeline
    runner: asyncio.Runner
    items: list[Item]

    def raw(self, **fields: Any) -> Result | RejectedQuery:
        value = orjson.dumps({"type": "query", "query_id": "q", "text": "mug", **fields})
        record = Record(topic="t", partition=0, offset=0, key=b"q", value=value, timestamp_ms=0)
        [outcome] = self.runner.run(self.pipeline.answer([record]))
        return outcome

    def ask(self, **fields: Any) -> Result:
        outcome = self.raw(**fields)
        assert isinstance(outcome, Result), outcome
        assert decode_result(encode_result(outcome)).error is None
        return outcome

    def error(self, **fields: Any) -> QueryError:
        outcome = self.raw(**fields)
        assert isinstance(outcome, RejectedQuery)
        assert outcome.result is not None
        sent = decode_result(encode_result(outcome.result))
        assert (sent.query_id, sent.items) == ("q", ())
        assert sent.error is not None
        return sent.error

    def ids(self, **fields: Any) -> list[str]:
        return [item.product_id for item in self.ask(**fields).items]


def catalog() -> list[Item]:
    """Products of a dozen pictures; the first two show the same, at other prices."""
    rng, items = np.random.default_rng(0), []
    for number in range(PRODUCTS):
        for picture in range(PICTURES):
            vector = rng.standard_normal(8).astype(np.float32)
            items.append(
                Item(
                    item_id=f"p{number}#{picture}",
                    product_id=f"p{number}",
                    prototype=0,
                    vector=vector / np.linalg.norm(vector),
                    payload={
                        "title": f"mug {number}",
                        "category": ["kitchen", f"shelf {number % 3}"],
                        "image": None,
                        "caption": "",
                    },
                    offer={"price": float(number % 10), "in_stock": number % 2 == 0}
                    if number % 7
                    else {},
                    juice=Juice(grid=(1, 1)).to_bytes(),
                )
            )
    items[PICTURES] = Item(
        **{name: getattr(items[PICTURES], name) for name in ("item_id", "product_id", "prototype")},
        vector=items[0].vector,
        payload=items[PICTURES].payload,
        offer=items[PICTURES].offer,
        juice=items[PICTURES].juice,
    )
    return items


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    encoder, items = ColourEncoder(), catalog()
    settings = Settings.model_validate(
        {"data_dir": folder, "milvus": {"uri": str(folder / "milvus.db"), "kind": "lite"}}
    )
    index = CatalogIndex(settings, encoder.model_id)
    index.write(items)
    with asyncio.Runner() as runner:
        opened = open_fetcher(IntakeSettings())
        fetcher = runner.run(opened.__aenter__())
        query = QuerySettings(candidates=CANDIDATES)
        pipeline = QueryPipeline(fetcher, encoder, CosineReranker(), index, query)
        yield Shop(pipeline, runner, items)
        runner.run(opened.__aexit__(None, None, None))
    index.close()


def order(shop: Shop) -> list[str]:
    """Products by the cosine of their best picture to the usual query."""
    return cosines(shop, vector(None, "mug"))


def test_a_page_is_full_however_many_pictures_a_product_has(shop: Shop) -> None:
    result = shop.ask(top=10)
    assert [item.product_id for item in result.items] == order(shop)[:10]
    assert (result.found, result.found_is_exact, result.page) == (PRODUCTS, True, 1)


def test_pages_follow_each_other(shop: Shop) -> None:
    pages = [shop.ask(top=4, page=page) for page in range(1, 10)]
    shown = [item for page in pages for item in page.items]
    assert [item.product_id for item in shown] == order(shop)
    assert [item.position for item in shown] == list(range(1, PRODUCTS + 1))
    assert [len(page.items) for page in pages] == [4] * 7 + [2, 0]
    assert {page.found for page in pages} == {PRODUCTS}


def test_a_filter_and_its_facets(shop: Shop) -> None:
    result = shop.ask(
        top=100,
        filter="in_stock:=true && category:=`shelf 1`",
        facets=["category", "price(0, 5)", "in_stock"],
    )
    passing = {
        item.product_id
        for item in shop.items
        if item.offer.get("in_stock") and item.payload["category"][1] == "shelf 1"
    }
    assert {item.product_id for item in result.items} == passing
    assert result.found == len(passing)
    counts = {
        facet.field: {one.value: one.count for one in facet.counts} for facet in result.facets
    }
    cheap = sum(int(product[1:]) % 10 < 5 for product in passing)
    assert counts == {
        "category": {"kitchen": len(passing), "kitchen > shelf 1": len(passing)},
        "price(0, 5)": {"0..5": cheap, "5..": len(passing) - cheap},
        "in_stock": {True: len(passing)},
    }


def test_pictures_by_themselves(shop: Shop) -> None:
    query = ColourEncoder().encode_queries([None], ["mug"])[0].vector
    cosines = {
        item.item_id: float(item.vector @ query) for item in shop.items if item.vector is not None
    }
    result = shop.ask(top=60, group="none")
    nearest = sorted(cosines, key=lambda one: -cosines[one])
    assert [item.item_id for item in result.items] == nearest[:60]
    assert result.found == PRODUCTS


def test_near_duplicates_collapse(shop: Shop) -> None:
    result = shop.ask(top=100, group="near_duplicate", filter="product_id:=[p0, p1, p2]")
    merged = [item for item in result.items if item.also_seen]
    both = {*merged[0].near_duplicates, merged[0].product_id} if merged else set()
    pictures = {item.item_id for item in shop.ask(filter="product_id:=[p0, p1]").items}
    # They show the same where their best pictures are that one.
    assert (both == {"p0", "p1"}) == (pictures == {"p0#0", "p1#0"})
    assert sum(1 + item.also_seen for item in result.items) == 3


def test_by_price_everything_that_passes(shop: Shop) -> None:
    prices = {item.product_id: item.offer.get("price") for item in shop.items}
    priced = {one for one, price in prices.items() if price is not None}
    expected = sorted(prices, key=lambda one: (np.inf if prices[one] is None else prices[one], one))
    assert shop.ids(top=15, sort="price:asc") == expected[:15]
    assert shop.ids(top=15, sort="price:asc", page=2) == expected[15:]
    dearest = sorted(prices, key=lambda one: (-(prices[one] or 0.0) if one in priced else 1.0, one))
    assert shop.ids(top=100, sort="price:desc") == dearest


def test_by_price_within_what_is_probable(shop: Shop) -> None:
    everything = {item.product_id: item for item in shop.ask(top=100).items}
    least = sorted(item.probability for item in everything.values())[18]
    probable = {one for one, item in everything.items() if item.probability >= least}
    result = shop.ask(top=5, sort="price:asc", min_probability=least)
    expected = sorted(
        probable,
        key=lambda one: (
            np.inf if everything[one].price is None else everything[one].price or 0.0,
            one,
        ),
    )
    assert [item.product_id for item in result.items] == expected[:5]
    assert result.found == len(probable)


def test_what_is_less_probable_is_left_out(shop: Shop) -> None:
    everything = shop.ask(top=100).items
    least = everything[3].probability
    result = shop.ask(top=5, min_probability=least)
    assert [item.product_id for item in result.items] == [i.product_id for i in everything[:4]]
    assert (result.found, result.found_is_exact) == (4, False)
    assert shop.ask(min_probability=1.0).items == ()


def test_a_list_ends_at_the_same_place_on_every_page(shop: Shop) -> None:
    everything = shop.ask(top=100).items
    least = everything[12].probability
    whole = shop.ask(top=100, min_probability=least)
    pages = [shop.ask(top=4, page=page, min_probability=least) for page in range(1, 5)]
    shown = [item.item_id for page in pages for item in page.items]
    assert shown == [item.item_id for item in whole.items] == [i.item_id for i in everything[:13]]
    assert {page.items[0].position for page in pages} == {1, 5, 9, 13}


def test_whether_the_very_product_is_among_them(shop: Shop) -> None:
    result = shop.ask()
    none = np.prod([1 - item.probability for item in result.items])
    assert result.no_match_probability == pytest.approx(none)
    assert result.no_match == (none > 0.5)
    empty = shop.ask(filter="product_id:=nobody")
    assert (empty.items, empty.found, empty.no_match_probability) == ((), 0, None)


def test_why_each_stands_where_it_does(shop: Shop) -> None:
    plain, explained = shop.ask(), shop.ask(explain=True)
    assert [item.item_id for item in plain.items] == [item.item_id for item in explained.items]
    assert {item.why for item in plain.items} == {()}
    assert {one.feature for item in explained.items for one in item.why} == {"similarity"}
    assert set(explained.part_weights) == {"identity", "appearance", "colour", "text"}
    assert plain.part_weights == {}


def test_an_explained_result_says_how_it_stood_in_its_chunk(shop: Shop) -> None:
    explained, plain = shop.ask(**RED, explain=True, top=CANDIDATES), shop.ask(**RED)
    assert {item.compared for item in plain.items} == {None}
    ids = [item.product_id for item in explained.items]
    compared = [item.compared for item in explained.items]
    assert [one and (one.chunk, one.place, one.size) for one in compared] == [
        (1, place, CANDIDATES) for place in range(1, CANDIDATES + 1)
    ]
    assert [one and one.ahead_of for one in compared] == [*ids[1:], None]
    assert all(one and one.null == 0 and one.score > 0 for one in compared)


def test_contributions_add_up_to_the_comparison() -> None:
    encoder = ColourEncoder()
    [query] = encoder.encode_queries([None], ["mug"])
    candidates = [
        Candidate(f"{n}", 0.1 * n, encoder.encode_items([None], [f"{n}"])[0].juice, f"mug {n}")
        for n in range(25)
    ]
    for one in load_reranker().rerank(query, "mug", candidates, explain=True):
        assert sum(part.contribution for part in one.why) == pytest.approx(one.comparison)


def cosines(shop: Shop, query: Floats) -> list[str]:
    """Products by the cosine of their best picture to a vector."""
    best: dict[str, float] = {}
    for item in shop.items:
        assert item.vector is not None
        best[item.product_id] = max(float(item.vector @ query), best.get(item.product_id, -1.0))
    return sorted(best, key=lambda one: -best[one])


def vector(colour: str | None, text: str | None = None) -> Floats:
    shown = pixels(colour) if colour else None
    return ColourEncoder().encode_queries([shown], [text])[0].vector


def test_more_like_some_products(shop: Shop) -> None:
    liked = [shop.items[5 * PICTURES].vector, shop.items[9 * PICTURES].vector]
    mean = unit(np.mean([one for one in liked if one is not None], axis=0))
    result = shop.ask(like=["p5", "p9"], text=None, top=100)
    expected = [one for one in cosines(shop, mean) if one not in ("p5", "p9")]
    assert [item.product_id for item in result.items] == expected
    assert (result.found, result.juice) == (PRODUCTS - 2, None)
    with_words = unit(mean * float(np.linalg.norm(np.mean(liked, axis=0))) + vector(None, "mug"))  # type: ignore[arg-type]
    expected = [one for one in cosines(shop, with_words) if one not in ("p5", "p9")]
    assert shop.ids(like=["p5", "p9"], top=100) == expected


def test_several_pictures_with_weights(shop: Shop) -> None:
    images = [
        RED,
        {"image": picture_uri("blue"), "weight": 0.5},
        {"image": picture_uri("lime"), "weight": -0.25},
    ]
    wanted = unit(vector("red") + 0.5 * vector("blue") - 0.25 * vector("lime"))
    result = shop.ask(images=images, text=None, top=100)
    assert [item.product_id for item in result.items] == cosines(shop, wanted)
    assert result.juice is not None
    # Words go with what is wanted.
    wanted = unit(vector("red", "mug") + 0.5 * vector("blue", "mug") - 0.25 * vector("lime"))
    assert shop.ids(images=images, top=100) == cosines(shop, wanted)
    only_not = [{"image": picture_uri("lime"), "weight": -0.25}]
    wanted = unit(vector(None, "mug") - 0.25 * vector("lime"))
    assert shop.ids(images=only_not, top=100) == cosines(shop, wanted)


def test_a_part_of_a_picture(shop: Shop) -> None:
    halves = np.concatenate([pixels("red"), pixels("blue")], axis=1)
    images = [{"image": data_uri(halves), "box": [0.5, 0, 1, 1]}]
    assert shop.ids(images=images, text=None, top=100) == cosines(shop, vector("blue"))


def test_what_was_just_applied_can_be_asked_for(shop: Shop) -> None:
    assert shop.ids(consistency="read_your_writes") == order(shop)[:10]
    assert shop.error(consistency="perfect").field == "consistency"


def test_each_stage_is_timed(shop: Shop) -> None:
    took = shop.ask(filter="price:>1").took_ms
    assert set(took) == {"fetch", "wait", "encode", "retrieve", "rerank", "total"}
    assert took["total"] >= took["encode"] + took["retrieve"] > 0


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"filter": "price:>x"}, ("invalid_filter", "filter", 7)),
        ({"facets": ["price(x)"]}, ("invalid_facets", "facets", 6)),
        ({"facets": ["price"] * 21}, ("invalid_query", "facets", None)),
        ({"filter": "x" * 4001}, ("invalid_query", "filter", None)),
        ({"sort": "colour", "schema": 2}, ("invalid_query", "sort", None)),
        ({"page": 0}, ("invalid_query", "page", None)),
        ({"page": 101}, ("invalid_query", "page", None)),
        ({"group": "shop"}, ("invalid_query", "group", None)),
        ({"min_probability": 2}, ("invalid_query", "min_probability", None)),
        ({"colour": "red", "schema": 2}, ("invalid_query", "colour", None)),
        ({"schema": 3}, ("invalid_query", "schema", None)),
        ({"image": "no.jpg", "schema": 2}, ("picture_unavailable", "image", None)),
        ({"images": [{"image": "no.jpg"}]}, ("picture_unavailable", "images[0]", None)),
        ({"images": [RED, {"image": "x", "weight": 2}]}, ("invalid_query", WEIGHT, None)),
        ({"images": [RED | {"weight": 0}]}, ("invalid_query", "images[0]", None)),
        ({"images": [RED | {"box": [0, 0, 1, 0]}]}, ("invalid_query", "images[0]", None)),
        ({"images": [RED | {"box": [0, 0, 1, 0.2]}]}, ("invalid_query", "images[0].box", None)),
        ({"images": [RED], "image": RED["image"]}, ("invalid_query", "images", None)),
        ({"images": [RED | {"weight": -1}], "text": None}, ("invalid_query", None, None)),
        ({"images": [RED, RED | {"weight": -1}], "text": None}, ("not_encodable", None, None)),
        ({"like": ["p1", "nobody"]}, ("unknown_product", "like", None)),
    ],
)
def test_an_error_names_its_field(
    shop: Shop, fields: dict[str, Any], error: tuple[str, str | None, int | None]
) -> None:
    found = shop.error(**fields)
    assert (found.code, found.field, found.position) == error
    if found.code == "invalid_query" and found.field and not found.field.endswith("box"):
        assert f"`{found.field}`" in found.message
