"""The limit on a picture's bytes, with one error for all sources."""

from __future__ import annotations

from workers.errors import FetchError


def check_bytes(data: bytes, what: str, limit: int) -> bytes:
    """`data` itself, if it is not empty and at most `limit` bytes. FetchError otherwise."""
    if len(data) > limit:
        raise too_large(what, limit)
    if not data:
        raise FetchError(f"{what} is empty")
    return data


def too_large(what: str, limit: int) -> FetchError:
    """The error for more than `limit` bytes."""
    return FetchError(
        f"{what} is larger than {limit / 1e6:g} MB (intake.max_bytes); send a smaller picture"
    )
