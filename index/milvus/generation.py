"""A generation: one Milvus collection, and the public name that stands for it or will.

Readers and writers of a catalog hold a generation each. They look from time to time whether its
name still stands for it; when the catalog was re-keyed or another model took over, the next call
says so instead of answering from the wrong rows.
"""

import re
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from index.errors import GenerationChanged, SearchIndexError
from index.milvus.client import Client, NotFound
from index.milvus.config import MilvusConfig
from index.milvus.metadata import CollectionMetadata, check_metadata, generation_name, resolve_alias
from index.prototypes.protocol import Bank

ALIAS_TTL_S = 2.0
"""How old our knowledge of the alias may get: one cheap call, and readers follow a rekey."""
PAGE = 1000


class Generation(ABC):
    """One Milvus collection under one bank, which need not exist yet. Thread-safe.

    All methods raise `MilvusUnavailable` when Milvus does not answer, `GenerationChanged` when the
    catalog was re-keyed meanwhile, `ModelMismatch` when it holds another model's vectors.

    Args:
        store: where Milvus is.
        bank: what rows are keyed by; its model's vectors are stored.
        name: the catalog's public name.
        published: whether the name stands for this generation; else `publish` will see to it.
    """

    def __init__(
        self, config: MilvusConfig, bank: Bank, name: str, *, published: bool = True
    ) -> None:
        self.config = config
        self.bank = bank
        self.name = name
        self.metadata = CollectionMetadata(
            model_id=bank.model_id, bank_version=bank.version, dim=bank.dim
        )
        self.generation = generation_name(name, bank.version)
        if not published:  # two processes that prepare the same bank must not meet in one
            self.generation += f"_{uuid.uuid4().hex[:8]}"
        self._published = published
        self._client = Client(config)
        self._lock = threading.RLock()
        self._alias_checked_at = -ALIAS_TTL_S
        self._exists = False

    @abstractmethod
    def _create(self) -> None:
        """Make the generation and all its partitions where they are missing; must be repeatable."""

    def exists(self) -> bool:
        """Whether anything was ever written under this name."""
        self._check_alias(always=not self._exists)
        return self._exists

    def ensure_exists(self) -> None:
        """Make the collection, and its alias if it is to have one, unless they are there."""
        if not self.exists():
            self._create()
            if self._published:
                self._client.call("create_alias", self.generation, self.name)
            self._check_alias(always=True)

    def publish(self, name: str | None = None) -> str | None:
        """Let a public name, by default its own, stand for this generation.

        That is one step for all readers, and from then on the generation goes by that name.

        Returns:
            The generation that the name stood for before, None if there was none or this one.
        """
        name = name or self.name
        before = resolve_alias(self._client, name)
        self._client.call(
            "create_alias" if before is None else "alter_alias", self.generation, name
        )
        self.name, self._published = name, True
        self._check_alias(always=True)
        return before.generation if before and before.generation != self.generation else None

    def generations(self) -> list[str]:
        """All generations under this name, whether the name stands for them or not."""
        prefix = re.escape(generation_name(self.name, ""))
        pattern = re.compile(f"{prefix}[0-9a-f]{{12}}(_[0-9a-f]{{8}})?")
        return [
            found for found in self._client.call("list_collections") if pattern.fullmatch(found)
        ]

    def drop(self, generation: str) -> None:
        """Drop a generation and all its rows."""
        self._client.call("drop_collection", generation)

    def drop_leftovers(self) -> None:
        """Drop the generations that the public name does not stand for, but for this one."""
        alias = resolve_alias(self._client, self.name)
        kept = {self.generation, alias.generation if alias else ""}
        for generation in self.generations():
            if generation not in kept:
                self.drop(generation)

    def drop_alias(self, name: str) -> None:
        """Give up a public name, if there is one; the rows stay."""
        if resolve_alias(self._client, name) is not None:
            self._client.call("drop_alias", name)

    def drop_all(self) -> None:
        """Drop the catalog: its alias and every generation. Nothing of it is left."""
        alias = resolve_alias(self._client, self.name)
        if alias is not None:
            self._client.call("drop_alias", self.name)
            self.drop(alias.generation)
        for generation in self.generations():
            self.drop(generation)
        self._check_alias(always=True)

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check_alias(self, *, always: bool = False) -> None:
        """See from time to time that the name still stands for our model and bank."""
        if not always and time.monotonic() - self._alias_checked_at < ALIAS_TTL_S:
            return
        found = resolve_alias(self._client, self.name if self._published else self.generation)
        if found is not None:
            check_metadata(found.metadata, self.metadata, self.name)
            if self._exists and found.generation != self.generation:
                raise GenerationChanged(
                    f"{self.name!r} stands for {found.generation!r} now: open it again",
                    self.bank.version,
                )
            self.generation = found.generation
        self._exists = found is not None
        self._alias_checked_at = time.monotonic()

    def _call(self, method: str, **kwargs: Any) -> Any:
        """Call Milvus about our generation, which another process may have dropped."""
        try:
            return self._client.call(method, self.generation, **kwargs)
        except NotFound as error:
            self._check_alias(always=True)
            raise GenerationChanged(
                f"the collection {self.generation!r} is gone: open {self.name!r} again",
                self.bank.version,
            ) from error

    def _iterate(
        self, fields: list[str], where: str = "", **scope: Any
    ) -> Iterator[list[dict[str, Any]]]:
        """Rows in scope (and for which `where` holds) by primary key, a page at a time.

        pymilvus' own iterator reads at the client's clock on a 2.3 server, whatever consistency is
        asked for, and misses the last writes; so we turn the pages ourselves.
        """
        last = ""
        while True:
            with self._lock:  # a flush on Lite hides rows from readers for a moment
                page = self._call(
                    "query",
                    filter=f'row_id > "{last}"' + (f" and {where}" if where else ""),
                    limit=PAGE,
                    output_fields=fields,
                    **scope,
                )
            keys = [row["row_id"] for row in page]
            if keys != sorted(keys):  # then rows between two pages would be lost
                raise SearchIndexError(f"Milvus at {self.config.uri} does not page by primary key")
            if page:
                yield list(page)
            if len(page) < PAGE:
                return
            last = keys[-1]
