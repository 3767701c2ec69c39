"""One hostile input, and what must become of it."""

from __future__ import annotations

import base64
from dataclasses import dataclass

Size = tuple[int, int]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Expected:
    """What must happen: a picture of this size (width, height) comes out, or a refusal does.

    `colour` is that of the middle pixel, to within 12 steps. `reason` is a pattern that the
    refusal's message must match. With a size and `may_refuse` both are right, but no other size:
    a flipped bit in the pixels may be noticed or not.
    """

    size: Size | None = None
    colour: Colour | None = None
    may_refuse: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Case:
    """A reference as an event would carry it, and the expected outcome.

    `intake` names one of the set-ups of `tests.hostile.intakes`.
    """

    name: str
    reference: str
    expected: Expected
    intake: str = "default"


def accepted(size: Size, colour: Colour | None = None) -> Expected:
    """It is a picture of this size, after it has been scaled down to 1024 pixels."""
    return Expected(size, colour)


def refused(reason: str = "") -> Expected:
    """It is refused, with a message that matches."""
    return Expected(reason=reason)


def accepted_or_refused(size: Size) -> Expected:
    """It is refused, or comes out in this size."""
    return Expected(size, may_refuse=True)


def data_uri(data: bytes, declared: str = "image/png") -> str:
    """The bytes as a `data:` URI; intake ignores the declared type."""
    return f"data:{declared};base64," + base64.b64encode(data).decode()
