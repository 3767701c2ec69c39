"""A generation: one Milvus collection, and the alias that points to it.

Readers and writers of a catalog hold a generation each, and resolve the alias every two seconds.
When the catalog was repartitioned or replaced, their next call raises instead of using the wrong
rows.
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
"""Seconds for which a resolved alias is trusted; resolving it is one cheap call."""
PAGE = 1000
"""Rows in one page of a scan."""


class Generation(ABC):
    """One Milvus collection under one bank, which need not exist yet. Thread-safe.

    All methods raise `MilvusUnavailable` when Milvus does not answer, `GenerationChanged` when the
    catalog was repartitioned since it was opened, `ModelMismatch` when it holds another model's
    vectors.

    Args:
        config: how to reach Milvus.
        bank: that items are assigned by; of the model whose vectors are stored.
        name: the catalog's public name.
        published: whether the alias points here; otherwise `publish` moves it here later.
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
        if not published:  # so that two copies under one bank are two collections
            self.generation += f"_{uuid.uuid4().hex[:8]}"
        self._published = published
        self._client = Client(config)
        self._lock = threading.RLock()
        self._alias_checked_at = -ALIAS_TTL_S
        self._exists = False

    @abstractmethod
    def _create(self) -> None:
        """Create the collection and its partitions where they are missing; idempotent."""

    def exists(self, *, now: bool = False) -> bool:
        """Whether anything was ever written under this name.

        Args:
            now: ask Milvus where the alias points, whatever it said in the last two seconds, so
                that writes to the generation that has just taken this one's place are seen.
        """
        self._check_alias(always=now or not self._exists)
        return self._exists

    def ensure_exists(self) -> None:
        """Create the collection, and its alias if it is published, unless they exist."""
        if not self.exists():
            self._create()
            if self._published:
                self._client.call("create_alias", self.generation, self.name)
            self._check_alias(always=True)

    def publish(self, name: str | None = None) -> str | None:
        """Point the alias `name`, by default its own, to this generation: atomic for all readers.

        From then on that is this generation's public name.

        Returns:
            The generation that the alias pointed to before; None if there was none, or this one.
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
        """All generations of this public name, whether the alias points to them or not."""
        prefix = re.escape(generation_name(self.name, ""))
        pattern = re.compile(f"{prefix}[0-9a-f]{{12}}(_[0-9a-f]{{8}})?")
        return [
            found for found in self._client.call("list_collections") if pattern.fullmatch(found)
        ]

    def drop(self, generation: str) -> None:
        """Drop a generation and all its rows, with every alias that points to it."""
        for alias in self.aliases(generation):
            self._client.call("drop_alias", alias)
        self._client.call("drop_collection", generation)

    def aliases(self, generation: str) -> list[str]:
        """The aliases that point to a generation; none if it is gone."""
        try:
            found = self._client.call("list_aliases", generation)
        except NotFound:
            return []
        return [str(alias) for alias in found["aliases"]]

    def drop_leftovers(self) -> None:
        """Drop all generations of this public name that no alias points to, but this one."""
        for generation in self.generations():
            if generation != self.generation and not self.aliases(generation):
                self.drop(generation)

    def add_alias(self, name: str) -> None:
        """Give this generation another name, beside its own."""
        self._client.call("create_alias", self.generation, name)

    def drop_alias(self, name: str) -> None:
        """Drop an alias, if it exists; the rows stay."""
        if resolve_alias(self._client, name) is not None:
            self._client.call("drop_alias", name)

    def drop_all(self) -> None:
        """Drop the catalog: its alias and every generation."""
        alias = resolve_alias(self._client, self.name)
        if alias is not None:
            self._client.call("drop_alias", self.name)
            self.drop(alias.generation)
        for generation in self.generations():
            self.drop(generation)
        self._check_alias(always=True)

    def close(self) -> None:
        """Close the connection."""
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
        """Check that the alias still points to our model and bank, at most every `ALIAS_TTL_S`."""
        if not always and time.monotonic() - self._alias_checked_at < ALIAS_TTL_S:
            return
        found = resolve_alias(self._client, self.name if self._published else self.generation)
        if found is not None:
            check_metadata(found.metadata, self.metadata, self.name)
            if self._exists and found.generation != self.generation:
                raise GenerationChanged(
                    f"{self.name!r} points to {found.generation!r} now: open it again",
                    self.bank.version,
                )
            self.generation = found.generation
        self._exists = found is not None
        self._alias_checked_at = time.monotonic()

    def _call(self, method: str, **kwargs: Any) -> Any:
        """A call on our collection, which another process may have dropped."""
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

        pymilvus' own iterator ignores the consistency level on a 2.3 server and misses the last
        writes.
        """
        last = ""
        while True:
            with self._lock:  # during a flush on Lite, rows are invisible
                page = self._call(
                    "query",
                    filter=f'row_id > "{last}"' + (f" and {where}" if where else ""),
                    limit=PAGE,
                    output_fields=fields,
                    **scope,
                )
            keys = [row["row_id"] for row in page]
            if keys != sorted(keys):  # otherwise rows between two pages would be lost
                raise SearchIndexError(f"Milvus at {self.config.uri} does not page by primary key")
            if page:
                yield list(page)
            if len(page) < PAGE:
                return
            last = keys[-1]
