"""The AsyncAPI document holds by the official schema of AsyncAPI 3."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft7Validator

from stream.asyncapi import CHANNELS, asyncapi_document
from stream.topics import topic_map
from tests.paths import ROOT
from workers.cli.schema import schema_documents

OFFICIAL = Draft7Validator(
    orjson.loads((Path(__file__).parent / "asyncapi" / "3.0.0.json").read_bytes())
)


@pytest.fixture
def document() -> dict[str, Any]:
    return asyncapi_document("1.0")


def test_it_holds_by_the_official_schema(document: dict[str, Any]) -> None:
    assert [one.message for one in OFFICIAL.iter_errors(document)] == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda document: document["operations"]["receive_query"].pop("channel"),
        lambda document: document["channels"]["query"].update(adress="query"),
        lambda document: document["components"]["schemas"]["Click"].update(type="objekt"),
        lambda document: document["channels"]["query"]["bindings"]["kafka"].update(partitions=""),
    ],
)
def test_the_official_schema_finds_mistakes(
    document: dict[str, Any], damage: Callable[[dict[str, Any]], object]
) -> None:
    damage(document)
    assert list(OFFICIAL.iter_errors(document))


def test_every_topic_is_described(document: dict[str, Any]) -> None:
    addresses = {one["address"] for one in document["channels"].values()}
    assert addresses == {topic.name for topic in topic_map("{prefix}")}
    assert len(document["operations"]) == len(CHANNELS)


def test_every_reference_is_there(document: dict[str, Any]) -> None:
    def check(value: Any) -> None:
        if isinstance(value, dict):
            found: Any = document
            for step in value.get("$ref", "#").split("/")[1:]:
                found = found[step]
            value = list(value.values())
        if isinstance(value, list):
            for one in value:
                check(one)

    check(document)


def test_the_kept_documents_are_those_of_the_code() -> None:
    kept = ROOT / "docs" / "schemas"
    made = schema_documents()
    assert {path.name for path in kept.glob("*.json")} == made.keys()
    old = [name for name, one in made.items() if orjson.loads((kept / name).read_bytes()) != one]
    assert old == [], "write them anew: lookstream schema --out docs/schemas"
