"""Replacing a generation: the alias moves to its successor, then the old one is dropped.

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
    """Point a public name to another generation, atomically for all readers.

    Args:
        successor: the complete generation that becomes the catalog of that name.
        name: what readers use.
        registry: the banks of that name; has the successor's, and names it current.

    Returns:
        The generation that the name pointed to before, None if there was none.

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

    Errors of Milvus are not raised: the switch is done, and only rows are left behind.
    """
    wait(GRACE_S if grace_s is None else grace_s)
    with contextlib.suppress(SearchIndexError):
        successor.drop(replaced)
