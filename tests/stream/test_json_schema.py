"""The schemas say what the structs say: what the codec reads they accept, and the other way."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from stream.codec import decode, encode
from stream.errors import DecodeError
from stream.json_schema import MESSAGES, WRITTEN_BY_US, message_schemas
from stream.messages import (
    AttributedClick,
    CatalogEvent,
    Click,
    FacetCount,
    FacetCounts,
    FeatureContribution,
    Impression,
    Message,
    OfferPatch,
    Outcomes,
    ProductDelete,
    ProductUpsert,
    Query,
    QueryError,
    QueryImage,
    QueryJuice,
    RefusedRecord,
    Result,
    ResultItem,
    Shown,
)
from stream.schema_1 import ItemOfSchema1, ResultOfSchema1
from tests.paths import ROOT
from tests.stream.schema_changes import breaking_changes

KEPT = ROOT / "docs" / "schemas"
SCHEMAS = message_schemas()
SHOWN = Shown(product_id="7", item_id="7#0", position=1, score=0.5)
ITEM = ResultItem(
    product_id="7",
    item_id="7#0",
    probability=0.9,
    level=0,
    position=1,
    category=("Packages", "Milk"),
    price=1.9,
    attributes={"fat": 1.5, "organic": True},
    near_duplicates=("8",),
    why=(FeatureContribution(feature="text", contribution=-0.2),),
)
EXAMPLES: dict[str, tuple[Message, ...]] = {
    "upsert": (
        ProductUpsert(product_id="7"),
        ProductUpsert(product_id="ä b", category=("A",), images=("x",), price=None, version=3),
    ),
    "patch": (OfferPatch(product_id="7", price=2, attributes={"size": 42}),),
    "delete": (ProductDelete(product_id="7", event_time=1),),
    "query": (
        Query(query_id="q", text="milk"),
        Query(
            schema=2,
            query_id="q",
            images=(QueryImage(image="x", weight=-1, box=(0, 0, 0.5, 1)),),
            like=("7",),
            facets=("price(0, 10)",),
            sort="price:asc",
        ),
    ),
    "click": (
        Click(click_id="c", query_id="q", product_id="7"),
        Click(click_id="c", query_id="q", product_id="7", action="purchase"),
    ),
    "result": (
        Result(query_id="q", error=QueryError(code="c", message="m", position=3)),
        Result(
            query_id="q",
            items=(ITEM,),
            juice=QueryJuice(grid=(8, 8), kept=(1,), classes=(("mug", 0.5),)),
            facets=(FacetCounts(field="price", counts=(FacetCount(value="0..10", count=1),)),),
            took_ms={"total": 1.5},
        ),
    ),
    "result-1": (
        ResultOfSchema1(
            query_id="q",
            items=(ItemOfSchema1(product_id="7", item_id="7#0", score=0.5, level=3, position=1),),
        ),
    ),
    "impression": (Impression(query_id="q", items=(SHOWN,)),),
    "attributed_click": (
        AttributedClick(
            click_id="c",
            query_id="q",
            product_id="7",
            item_id="7#0",
            position=1,
            shown=(SHOWN,),
            impression_time=1,
            click_time=2,
        ),
    ),
    "outcomes": (
        Outcomes(
            topic="t",
            partition=0,
            refused=(RefusedRecord(offset=1, error_class="E", reason="why"),),
            coerced={"price": (1, 2)},
        ),
    ),
}
REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("upsert", {"type": "upsert"}),
    ("upsert", {"type": "upsert", "product_id": ""}),
    ("upsert", {"type": "upsert", "product_id": "a\x00"}),
    ("upsert", {"type": "upsert", "product_id": "7", "price": -1}),
    ("upsert", {"type": "upsert", "product_id": "7", "colour": "red"}),
    ("upsert", {"type": "patch", "product_id": "7"}),
    ("query", {"type": "query", "query_id": "q", "text": "a", "top": 101}),
    ("query", {"type": "query", "query_id": "q", "text": "a", "schema": 3}),
    ("query", {"type": "query", "query_id": "q", "images": [{"image": "x", "box": [0, 0, 1]}]}),
    ("query", {"type": "query", "query_id": "q", "images": [{"image": "x", "box": [0, 0, 1, 2]}]}),
    ("click", {"type": "click", "click_id": "c", "query_id": "q", "product_id": 7}),
]


def problems(name: str, message: Any) -> list[str]:
    return [one.message for one in Draft202012Validator(SCHEMAS[name]).iter_errors(message)]


@pytest.mark.parametrize("name", MESSAGES)
def test_what_is_sent_is_accepted(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])
    for message in EXAMPLES[name]:
        assert problems(name, orjson.loads(encode(message))) == []


def test_recorded_events_are_accepted() -> None:
    lines = (ROOT / "tests/replay/streams/shop.jsonl").read_bytes().splitlines()
    checked = 0
    for line in lines:
        value = orjson.loads(line)["value"]
        try:
            event: Message = decode(value.encode(), CatalogEvent)
        except (DecodeError, AttributeError):
            continue
        assert problems(str(event.__struct_config__.tag), orjson.loads(value)) == []
        checked += 1
    assert checked >= 4


@pytest.mark.parametrize(("name", "message"), REFUSED)
def test_what_cannot_be_read_is_refused(name: str, message: dict[str, Any]) -> None:
    assert problems(name, message)
    with pytest.raises(DecodeError):
        decode(orjson.dumps(message), MESSAGES[name])


def test_the_anchors_of_patterns_are_those_of_every_language() -> None:
    assert b"\\\\A" not in orjson.dumps(SCHEMAS)
    assert SCHEMAS["click"]["properties"]["click_id"]["pattern"].startswith("^[^")


@pytest.mark.parametrize(
    "kept", sorted(KEPT.glob("[0-9]*/*.json")), ids=lambda path: str(path)[-30:]
)
def test_programs_for_released_schemas_still_work(kept: Any) -> None:
    name = kept.stem
    old = orjson.loads(kept.read_bytes())
    assert breaking_changes(old, SCHEMAS[name], we_write=name in WRITTEN_BY_US) == [], (
        "programs in use would fail: keep the field as it was and add another one, or answer in "
        "both schemas as stream/schema_1.py does"
    )
    if name == "result-1":  # its readers may refuse fields that they do not know
        assert old["properties"].keys() == SCHEMAS[name]["properties"].keys()
