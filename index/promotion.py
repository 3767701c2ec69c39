"""A catalog that was built beside the live one takes its place, in one step for all readers.

It was built under a name of its own (a replay, another model). Its generation keeps its rows and
its name; the live alias moves to it. Nobody may write to either meanwhile. A crash at any moment
leaves the live name standing for one of the two, whole; what is left over can be promoted or
dropped again.
"""

import time

import structlog

from index.client import Client
from index.collection import Collection
from index.errors import StoreError
from index.shelf import BankShelf
from index.stamp import read_standing

log = structlog.get_logger(__name__)


def promote(beside: Collection, live: str, shelf: BankShelf, *, grace_s: float = 5.0) -> str | None:
    """Let the name `live` stand for what `beside` holds, and drop what it stood for.

    Args:
        beside: the catalog that was built; its own name is given up.
        live: the public name that readers use.
        shelf: the live catalog's banks; gets this one's, and names it current.
        grace_s: how long the old generation outlives the switch, for searches under way.

    Returns:
        The generation that was dropped, None if there was none.

    Raises:
        StoreError: nothing was ever written to `beside`.
        StoreUnavailable: Milvus does not answer.
    """
    if not beside.exists():
        raise StoreError(f"there is nothing in {beside.name!r} to promote")
    beside.flush()
    shelf.put(beside.bank)
    client = Client(beside.store)
    try:
        before = read_standing(client, live)
        if before is None:
            client.call("create_alias", beside.generation, live)
        else:
            client.call("alter_alias", beside.generation, live)
        shelf.make_current(beside.bank.version)
        if read_standing(client, beside.name) is not None:
            client.call("drop_alias", beside.name)
        log.info("catalog promoted", name=live, generation=beside.generation)
        if before is None or before.generation == beside.generation:
            return None
        time.sleep(grace_s)
        client.call("drop_collection", before.generation)
        return before.generation
    finally:
        client.close()
