"""One hostile input, and what must become of it."""

from __future__ import annotations

import base64
from dataclasses import dataclass

Size = tuple[int, int]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Verdict:
    """What must happen: a picture of this size (width, height) comes out, or a refusal does.

    `colour` is that of the middle pixel, to within 12 steps. `words` is a pattern that the
    refusal's reason must match. With a size and `may_refuse` both are right, but no other size:
    a flipped bit in the pixels may be noticed or not.
    """

    size: Size | None = None
    colour: Colour | None = None
    may_refuse: bool = False
    words: str = ""


@dataclass(frozen=True)
class Case:
    """A reference as an event would carry it, and its verdict.

    `door`: "guarded" is the intake as it is set by default; "local" may also ask 127.0.0.1, where
    the hostile server is, and has short time limits; "sabotaged" has decoders that do at once what
    a bug in a codec would do one day (`benchmarks.hostile.bad_decoder`).
    """

    name: str
    reference: str
    verdict: Verdict
    door: str = "guarded"


def accepted(size: Size, colour: Colour | None = None) -> Verdict:
    """It is a picture of this size, after it has been brought down to 1024 pixels."""
    return Verdict(size, colour)


def refused(words: str = "") -> Verdict:
    """It is refused, with a reason like this."""
    return Verdict(words=words)


def either(size: Size) -> Verdict:
    """It is refused, or comes out in this size."""
    return Verdict(size, may_refuse=True)


def uri(data: bytes, declared: str = "image/png") -> str:
    """The bytes as a `data:` URI; the declared type is not believed."""
    return f"data:{declared};base64," + base64.b64encode(data).decode()
