"""Where a catalog's rows are, as settings say it."""

from typing import Literal

import msgspec


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """Where the rows are and how they are laid out.

    Attributes:
        uri: `http://host:port` of a Milvus or Milvus Lite server, or the path of a Lite database
            that no other process uses.
        token: `user:password` of a Milvus server.
        kind: which of the two layouts to use.
        index_type: of the vectors; each layout knows which ones its engine really builds.
        consistency: of searches on a server. Bounded answers quickly and may miss the last
            seconds; `count` always sees everything, and so do searches that follow it.
        timeout_s: how long one call may take, its retries included.
        flush_idle_s: on Lite, how long after the last write rows are moved out of the memtable.
    """

    uri: str
    token: str | None = None
    kind: Literal["lite", "server"] = "lite"
    index_type: str = "AUTOINDEX"
    consistency: Literal["Bounded", "Session", "Strong"] = "Bounded"
    timeout_s: float = 30.0
    flush_idle_s: float = 1.0

    def __repr__(self) -> str:
        return f"Store({self.kind}, {self.uri!r}, {self.index_type})"
