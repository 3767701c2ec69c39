"""A process that dies at a call to Milvus."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from index.errors import MilvusUnavailable
from index.milvus.client import Client


class Crash(BaseException):
    """The process dies here; no `except Exception` may stop it."""


@contextmanager
def dying_at(number: int, *, done: bool = False) -> Iterator[None]:
    """Let no call to Milvus through from the one with this number on (or: behind it).

    The flush that a write leaves behind for later comes in a thread of its own: it is neither
    counted nor let through.
    """
    original, count, alive = Client.call, 0, threading.get_ident()

    def deadly(client: Client, *args: Any, **kwargs: Any) -> Any:
        nonlocal count
        if threading.get_ident() != alive:
            raise MilvusUnavailable("its process is dead")
        count += 1
        if count > number or (count == number and not done):
            raise Crash
        return original(client, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Client, "call", deadly)
        yield
