"""Address, credentials and layout of a Milvus."""

from typing import Literal

import msgspec


class MilvusConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach Milvus, and how rows are laid out in it.

    Attributes:
        uri: `http://host:port` of a Milvus or Milvus Lite server, or the path of a Lite database
            that no other process uses.
        token: `user:password` of a Milvus server.
        ca_file: PEM of the authority that signed an `https://` server's certificate; by default
            the system's authorities are trusted.
        cert_file, key_file: PEM of the client certificate, for a server that requires one; all
            three files are needed then.
        server_name: the name in the server's certificate, where that is not its address.
        kind: which of the two layouts to use.
        index_type: of the vectors; each layout knows the types that its engine really builds.
        consistency: of searches on a server. Bounded is fast and may miss the last seconds; `count`
            always sees everything, and so do searches after it.
        timeout_s: seconds for one call, retries included.
        mirror_dir: on Lite, the folder where its collections are mirrored for filters
            (`index.milvus.mirror`), the same for all processes; None: there are no filters.
        flush_idle_s: on Lite, seconds after the last write until the memtable is flushed.
    """

    uri: str
    token: str | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    server_name: str | None = None
    kind: Literal["lite", "server"] = "lite"
    index_type: str = "AUTOINDEX"
    consistency: Literal["Bounded", "Session", "Strong"] = "Bounded"
    timeout_s: float = 30.0
    mirror_dir: str | None = None
    flush_idle_s: float = 1.0

    def tls(self) -> dict[str, str]:
        """The TLS arguments of pymilvus, which ignores combinations that it does not expect."""
        names = (
            {"server_pem_path": self.ca_file}
            if self.cert_file is None
            else {
                "ca_pem_path": self.ca_file,
                "client_pem_path": self.cert_file,
                "client_key_path": self.key_file,
            }
        )
        arguments = names | {"server_name": self.server_name}
        return {name: value for name, value in arguments.items() if value is not None}

    def __repr__(self) -> str:
        return f"MilvusConfig({self.kind}, {self.uri!r}, {self.index_type})"
