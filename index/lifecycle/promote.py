"""A catalog that was built apart takes the place of the live one, in one step for all readers.

It was built under a name of its own (a replay, another model). Its generation keeps its rows and
its name; the live alias moves to it. Nobody may write to either meanwhile. A crash at any moment
leaves the live name standing for one of the two, whole.
"""

import contextlib
import time

import structlog

from index.errors import StoreError
from index.lifecycle.switch import GRACE_S, Wait, drop_replaced, switch
from index.milvus.client import Client
from index.milvus.collection import Collection
from index.milvus.config import MilvusConfig
from index.milvus.metadata import generation_name, resolve_alias
from index.prototypes.registry import BankRegistry

log = structlog.get_logger(__name__)


def promote(
    candidate: Collection,
    live: str,
    registry: BankRegistry,
    *,
    grace_s: float = GRACE_S,
    wait: Wait = time.sleep,
) -> str | None:
    """Let the name `live` stand for what `candidate` holds, and drop what it stood for.

    Args:
        candidate: the catalog that was built; its own name is given up.
        live: the public name that readers use.
        registry: the live catalog's banks; gets this one's, and names it current.
        grace_s: how long the old generation outlives the switch, for searches under way.
        wait: waits for so many seconds.

    Returns:
        The generation that was dropped (if Milvus let us), None if there was none.

    Raises:
        StoreError: nothing was ever written to `candidate`.
        StoreUnavailable: Milvus does not answer.
    """
    if not candidate.exists():
        raise StoreError(f"there is nothing in {candidate.name!r} to promote")
    candidate.flush()
    own = candidate.name
    replaced = switch(candidate, live, registry)
    log.info("catalog promoted", name=live, generation=candidate.generation)
    if own != live:
        with contextlib.suppress(StoreError):  # it leads nowhere else: no more than untidy
            candidate.drop_alias(own)
    if replaced is not None:
        drop_replaced(candidate, replaced, grace_s=grace_s, wait=wait)
    return replaced


def alias_of(config: MilvusConfig, live: str, name: str) -> bool:
    """Whether the name `live` stands for what was built under `name`."""
    client = Client(config)
    try:
        alias = resolve_alias(client, live)
    finally:
        client.close()
    return alias is not None and alias.generation.startswith(generation_name(name, ""))
