"""What a download brings, and what is sent to have it again only if it changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

_SENDABLE = re.compile(r"[!-~]([ -~]{0,254}[!-~])?")


@dataclass(frozen=True)
class Validators:
    """ETag and Last-Modified of a response (RFC 9110 §8.8), "" where it has none."""

    etag: str = ""
    last_modified: str = ""

    def __bool__(self) -> bool:
        return bool(self.etag or self.last_modified)

    @classmethod
    def of(cls, values: Mapping[str, object]) -> Self:
        """Those among `values`; what could not be sent back is left out."""
        etag, last_modified = (
            value if isinstance(value, str) and _SENDABLE.fullmatch(value) else ""
            for value in (values.get("etag"), values.get("last_modified"))
        )
        return cls(etag, last_modified)

    def values(self) -> dict[str, str]:
        """Those that are there, by name."""
        both = {"etag": self.etag, "last_modified": self.last_modified}
        return {name: value for name, value in both.items() if value}


NO_VALIDATORS = Validators()


@dataclass(frozen=True)
class Download:
    """The bytes of a picture; None if it is the one whose validators were sent."""

    data: bytes | None
    validators: Validators = NO_VALIDATORS
