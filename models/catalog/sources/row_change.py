"""What a record of any source says: a row is so now, or is gone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.catalog.sources.evaluate import Scope


@dataclass(frozen=True, kw_only=True)
class RowChange:
    """A row as it is now; with `deleted`, what is known of one that is gone, its key at least.

    Attributes:
        row: its columns.
        before: the columns before, where the source says them; {} otherwise.
        around: what comes with it, by the names that paths begin with: `source`, `key` and so on.
        version: what orders the changes of this row, if the source says it.
        tombstone: the record is a key without a value.
        closed: every row has all columns, so that a name which is not there is a mistake.
    """

    row: Mapping[str, Any]
    deleted: bool = False
    before: Mapping[str, Any] = field(default_factory=dict)
    around: Mapping[str, Any] = field(default_factory=dict)
    version: int | None = None
    tombstone: bool = False
    closed: bool = False

    @property
    def scope(self) -> Scope:
        """What expressions see of it."""
        return Scope(self.row, self.around, self.closed)
