"""Promoting a catalog that was built separately: it replaces the live one, atomically for readers.

It was built under a name of its own (a replay, another model). Its generation keeps its rows and
its name; the live alias moves to it. A crash at any moment leaves the live alias pointing to one of
the two, complete. What was live keeps its rows too, under the alias that it was given before.
"""

import structlog

from index.errors import SearchIndexError
from index.lifecycle.switch import switch
from index.milvus.client import Client
from index.milvus.collection import Collection
from index.milvus.config import MilvusConfig
from index.milvus.metadata import resolve_alias
from index.prototypes.registry import BankRegistry

log = structlog.get_logger(__name__)


def promote(candidate: Collection, live: str, registry: BankRegistry) -> str | None:
    """Point the alias `live` to the candidate; its own alias stays.

    Nobody may write to either meanwhile: call it while the gate of `live` is closed
    (`index.lifecycle.locks`).

    Args:
        candidate: the catalog that was built.
        live: the public name that readers use.
        registry: the live catalog's banks; has the candidate's, and names it current.

    Returns:
        The generation that the alias pointed to, None if there was none.

    Raises:
        SearchIndexError: nothing was ever written to `candidate`.
        BankError: its bank is not in the registry.
        MilvusUnavailable: Milvus does not answer.
    """
    if not candidate.exists():
        raise SearchIndexError(f"there is nothing in {candidate.name!r} to promote")
    replaced = switch(candidate, live, registry)
    log.info("catalog promoted", name=live, generation=candidate.generation)
    return replaced


def generation_of(config: MilvusConfig, name: str) -> str | None:
    """The generation that a name points to, an alias or its own; None if there is none."""
    client = Client(config)
    try:
        alias = resolve_alias(client, name)
    finally:
        client.close()
    return None if alias is None else alias.generation
