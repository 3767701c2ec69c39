"""A change is told where a program that was written for the old schema would fail."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta, Struct

from tests.stream.schema_changes import breaking_changes


class Part(Struct, forbid_unknown_fields=True):
    name: str


class Old(Struct, forbid_unknown_fields=True, tag="message"):
    word: str
    count: int = 0
    kind: Literal["a", "b"] = "a"
    share: Annotated[float, Meta(ge=0, le=1)] = 0.0
    parts: tuple[Part, ...] = ()
    note: str | None = None
    pair: tuple[int, str] | None = None
    names: dict[str, int] = {}


def schema(**changes: Any) -> dict[str, Any]:
    """The schema of `Old` with some fields changed: (type, default), or (type,); None: gone."""
    fields = {
        one.name: (one.type,) if one.required else (one.type, one.default)
        for one in msgspec.structs.fields(Old)
    }
    new = msgspec.defstruct(
        "Old",
        [(name, *how) for name, how in {**fields, **changes}.items() if how is not None],
        forbid_unknown_fields=True,
        kw_only=True,
        tag="message",
    )
    found = msgspec.json.schema(new)
    return {**found["$defs"]["Old"], "$defs": found["$defs"]}


class PartWithMore(Struct, forbid_unknown_fields=True):
    name: str
    size: int


class PartWithout(Struct, forbid_unknown_fields=True):
    title: str = ""


READS_MORE = [
    {"extra": (str, "")},
    {"count": (float, 0)},
    {"kind": (Literal["a", "b", "c"], "a")},
    {"share": (Annotated[float, Meta(ge=-1, le=1)], 0.0)},
    {"word": (str | None,)},
]
"""Wider: whoever writes the old message is read; whoever reads it may get what it does not know."""
READS_LESS = [
    {"word": None},
    {"word": (int,)},
    {"extra": (str,)},
    {"kind": (Literal["a"], "a")},
    {"share": (Annotated[float, Meta(ge=0, le=0.5)], 0.0)},
    {"note": (str, "")},
    {"parts": (tuple[PartWithMore, ...], ())},
    {"parts": (tuple[PartWithout, ...], ())},
    {"parts": (Annotated[tuple[Part, ...], Meta(max_length=3)], ())},
    {"pair": (tuple[int, int] | None, None)},
    {"names": (dict[str, Annotated[int, Meta(ge=0)]], {})},
    {"count": (int, 1)},
]


def names(one: dict[str, Any]) -> str:
    return ",".join(one)


def test_no_change_breaks_nothing() -> None:
    for we_write in (False, True):
        assert breaking_changes(schema(), schema(), we_write=we_write) == []


@pytest.mark.parametrize("change", READS_MORE, ids=names)
def test_what_others_write_may_become_wider(change: dict[str, Any]) -> None:
    assert breaking_changes(schema(), schema(**change), we_write=False) == []


@pytest.mark.parametrize("change", READS_LESS, ids=names)
def test_what_others_write_may_not_become_narrower(change: dict[str, Any]) -> None:
    [problem, *_] = breaking_changes(schema(), schema(**change), we_write=False)
    assert problem.startswith(f".{next(iter(change))}")


@pytest.mark.parametrize("change", READS_MORE[1:], ids=names)
def test_what_others_read_may_not_become_wider(change: dict[str, Any]) -> None:
    [problem, *_] = breaking_changes(schema(), schema(**change), we_write=True)
    assert problem.startswith(f".{next(iter(change))}")


@pytest.mark.parametrize(
    "change",
    [{"extra": (str, "")}, {"extra": (str,)}, {"kind": (Literal["a"], "a")}, {"note": (str,)}],
    ids=names,
)
def test_what_others_read_may_have_new_fields(change: dict[str, Any]) -> None:
    assert breaking_changes(schema(), schema(**change), we_write=True) == []


@pytest.mark.parametrize("name", ["word", "count"])
def test_what_others_read_stays(name: str) -> None:
    [problem, *_] = breaking_changes(schema(), schema(**{name: None}), we_write=True)
    assert problem.startswith(f".{name}")
