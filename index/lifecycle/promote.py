"""A catalog that was built beside the live one takes its place, in one step for all readers.

It was built under a name of its own (a replay, another model). Its generation keeps its rows and
its name; the live alias moves to it. Nobody may write to either meanwhile. A crash at any moment
leaves the live name standing for one of the two, whole.
"""

import contextlib
import time

import structlog

from index.errors import StoreError
from index.milvus.client import Client
from index.milvus.collection import Collection
from index.milvus.config import MilvusConfig
from index.milvus.metadata import generation_name, resolve_alias
from index.prototypes.registry import BankRegistry

log = structlog.get_logger(__name__)


def promote(
    beside: Collection, live: str, registry: BankRegistry, *, grace_s: float = 5.0
) -> str | None:
    """Let the name `live` stand for what `beside` holds, and drop what it stood for.

    Args:
        beside: the catalog that was built; its own name is given up.
        live: the public name that readers use.
        shelf: the live catalog's banks; gets this one's, and names it current.
        grace_s: how long the old generation outlives the switch, for searches under way.

    Returns:
        The generation that was dropped (if Milvus let us), None if there was none.

    Raises:
        StoreError: nothing was ever written to `beside`.
        StoreUnavailable: Milvus does not answer.
    """
    if not beside.exists():
        raise StoreError(f"there is nothing in {beside.name!r} to promote")
    beside.flush()
    registry.put(beside.bank)
    client = Client(beside.config)
    try:
        before = resolve_alias(client, live)
        registry.make_current(beside.bank.version)
        if before is None:
            client.call("create_alias", beside.generation, live)
        else:
            client.call("alter_alias", beside.generation, live)
        log.info("catalog promoted", name=live, generation=beside.generation)
        # It is done: what fails now leaves something behind, and no more.
        with contextlib.suppress(StoreError):
            if resolve_alias(client, beside.name) is not None:
                client.call("drop_alias", beside.name)
        if before is None or before.generation == beside.generation:
            return None
        time.sleep(grace_s)
        with contextlib.suppress(StoreError):
            client.call("drop_collection", before.generation)
        return before.generation
    finally:
        client.close()


def alias_of(config: MilvusConfig, live: str, name: str) -> bool:
    """Whether the name `live` stands for what was built under `name`."""
    client = Client(config)
    try:
        alias = resolve_alias(client, live)
    finally:
        client.close()
    return alias is not None and alias.generation.startswith(generation_name(name, ""))
