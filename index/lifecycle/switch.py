"""The last steps of building another generation: readers move to it, then the old one goes.

A crash before the alias has moved leaves the old generation live, a crash after it the new one,
each of them complete.
"""

import contextlib
import time
from collections.abc import Callable

from index.errors import BankError, SearchIndexError
from index.milvus.collection import Collection
from index.prototypes.registry import BankRegistry

GRACE_S = 5.0
"""How long an old generation outlives the switch: readers look at the alias every two seconds, and
a search under way may take as long again."""

Wait = Callable[[float], None]
"""Waits for so many seconds: `time.sleep`, or what a test puts in its place."""


def switch(successor: Collection, name: str, registry: BankRegistry) -> str | None:
    """Let a public name stand for another generation, in one step for all readers.

    Args:
        successor: complete, and from then on the catalog of that name.
        name: what readers use.
        registry: the banks of that name; has the successor's, and names it current.

    Returns:
        The generation that the name stood for before, None if there was none.

    Raises:
        BankError: the successor's bank is not in the registry, so that no reader could follow.
    """
    if successor.bank.version not in registry:
        raise BankError(f"bank {successor.bank.version} is not in {registry.banks}: put it there")
    before = successor.publish(name)
    registry.make_current(successor.bank.version)
    return before


def drop_replaced(
    successor: Collection,
    replaced: str,
    *,
    grace_s: float | None = None,
    wait: Wait = time.sleep,
) -> None:
    """Drop a generation that was replaced, after `GRACE_S` or `grace_s` seconds for searches in it.

    Milvus' errors are not raised: the switch is done, and all that is left behind is rows.
    """
    wait(GRACE_S if grace_s is None else grace_s)
    with contextlib.suppress(SearchIndexError):
        successor.drop(replaced)
