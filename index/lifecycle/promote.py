"""Promoting a catalog that was built separately: it replaces the live one, atomically for readers.

It was built under a name of its own (a replay, another model). Its generation keeps its rows and
its name; the live alias moves to it. Nobody may write to either meanwhile. A crash at any moment
leaves the live alias pointing to one of the two, complete.
"""

import contextlib
import time

import structlog

from index.errors import SearchIndexError
from index.lifecycle.switch import Wait, drop_replaced, switch
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
    grace_s: float | None = None,
    wait: Wait = time.sleep,
) -> str | None:
    """Point the alias `live` to the candidate, and drop the generation it pointed to.

    Args:
        candidate: the catalog that was built; its own alias is dropped.
        live: the public name that readers use.
        registry: the live catalog's banks; has the candidate's, and names it current.
        grace_s: how long the old generation outlives the switch; `index.lifecycle.switch.GRACE_S`
            by default.
        wait: waits for so many seconds.

    Returns:
        The generation that was dropped (if Milvus let us), None if there was none.

    Raises:
        SearchIndexError: nothing was ever written to `candidate`.
        BankError: its bank is not in the registry.
        MilvusUnavailable: Milvus does not answer.
    """
    if not candidate.exists():
        raise SearchIndexError(f"there is nothing in {candidate.name!r} to promote")
    candidate.flush()
    own = candidate.name
    replaced = switch(candidate, live, registry)
    log.info("catalog promoted", name=live, generation=candidate.generation)
    if own != live:
        with contextlib.suppress(SearchIndexError):  # an alias too many does no harm
            candidate.drop_alias(own)
    if replaced is not None:
        drop_replaced(candidate, replaced, grace_s=grace_s, wait=wait)
    return replaced


def drop_remains(config: MilvusConfig, live: str, name: str, replaced: str) -> None:
    """Drop what an interrupted promotion has left: the candidate's alias and the old generation.

    Args:
        config: where Milvus is.
        live: the public name that readers use.
        name: the name under which the catalog was built that is live now.
        replaced: the generation that was live before; "" if there was none, or it is unknown.
    """
    client = Client(config)
    try:
        with contextlib.suppress(SearchIndexError):
            if resolve_alias(client, name) is not None:
                client.call("drop_alias", name)
            alias = resolve_alias(client, live)
            if replaced and alias is not None and alias.generation != replaced:
                client.call("drop_collection", replaced)
    finally:
        client.close()


def is_live(config: MilvusConfig, live: str, name: str) -> bool:
    """Whether the alias `live` points to what was built under `name`."""
    return (live_generation(config, live) or "").startswith(generation_name(name, ""))


def live_generation(config: MilvusConfig, live: str) -> str | None:
    """The generation that a public name points to; None if there is none."""
    client = Client(config)
    try:
        alias = resolve_alias(client, live)
    finally:
        client.close()
    return None if alias is None else alias.generation
