"""The connection to Milvus: one client, its errors in our words, and a new one when it breaks."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped]

from index.errors import MilvusUnavailable, RowRejected
from index.milvus.config import MilvusConfig

if TYPE_CHECKING:
    from pymilvus import MilvusClient

REJECTED_CODES = {6, 1100, 1101}  # illegal argument (Lite), invalid and missing parameter (server)
NO_CONNECTION = 2
# pymilvus pings every ten seconds. Milvus allows it; Lite's server ends a connection that pings
# more than twice in five minutes without data ("Too many pings"), and calls under way with it.
KEEPALIVE: dict[str, dict[str, int]] = {
    "lite": {"grpc.keepalive_time_ms": 2**31 - 1},
    "server": {},
}
DENIED = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
NOT_FOUND_CODES = {100, 1600}  # collection, alias
NOT_LOADED_CODES = {101, 103, 106}  # not loaded, or loading after a restart of the server


class NotFound(Exception):
    """The collection or alias of a call does not exist."""


class Client:
    """Calls of :class:`pymilvus.MilvusClient`, made on first use and remade after a failure.

    gRPC redials an idle connection by itself; a server that came back empty-handed after a restart
    (Lite forgets what was loaded) is told to load again, once per call.
    """

    def __init__(self, config: MilvusConfig) -> None:
        self.uri = config.uri
        self._store = config
        self._timeout_s = config.timeout_s
        self._client: MilvusClient | None = None
        self._lock = threading.Lock()
        # Not before a connection is wanted: pymilvus imports pandas, and takes a second.
        from pymilvus import exceptions  # noqa: PLC0415

        self._exceptions = exceptions
        # pymilvus logs each failed call with a traceback; the caller gets the same as our error.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of MilvusClient by name.

        Raises:
            NotFound: no such collection or alias.
            RowRejected: Milvus can never accept these arguments.
            MilvusUnavailable: anything else; an unknown failure is retried rather than losing rows.
        """
        try:
            return self._try(method, *args, **kwargs)
        except self._exceptions.MilvusException as error:
            if error.code not in NOT_LOADED_CODES or not args:
                raise self._translate(error) from error
        except (grpc.RpcError, OSError, ValueError) as error:
            raise self._translate(error) from error
        try:
            self._try("load_collection", args[0])
            return self._try(method, *args, **kwargs)
        except (self._exceptions.MilvusException, grpc.RpcError, OSError, ValueError) as error:
            raise self._translate(error) from error

    def close(self) -> None:
        """Let go of the connection; the next call makes a new one."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _try(self, method: str, *args: Any, **kwargs: Any) -> Any:
        with self._lock:
            if self._client is None:
                from pymilvus import MilvusClient  # noqa: PLC0415  as above

                self._client = MilvusClient(
                    uri=self.uri,
                    token=self._store.token or "",
                    timeout=self._timeout_s,
                    grpc_options=KEEPALIVE[self._store.kind],
                    **self._store.tls(),
                )
            client = self._client
        return getattr(client, method)(*args, timeout=self._timeout_s, **kwargs)

    def _translate(self, error: Exception) -> Exception:
        exceptions = self._exceptions
        rejected = (
            exceptions.ParamError,
            exceptions.DataNotMatchException,
            exceptions.DataTypeNotMatchException,
        )
        unreachable = (exceptions.ConnectError, exceptions.MilvusUnavailableException)
        if isinstance(error, exceptions.MilvusException):
            said = error.message or str(error)
            if error.code in NOT_FOUND_CODES:
                return NotFound(said)
            if isinstance(error, rejected) or error.code in REJECTED_CODES:
                return RowRejected(f"Milvus refuses the request for good: {said}")
            if error.code != NO_CONNECTION and not isinstance(error, unreachable):
                return MilvusUnavailable(f"Milvus at {self.uri} failed: {said}")
        elif isinstance(error, ValueError) and "closed channel" not in str(error):
            return RowRejected(f"the request cannot be written for Milvus: {error}")
        elif isinstance(error, grpc.Call) and error.code() in DENIED:
            return MilvusUnavailable(
                f"Milvus at {self.uri} does not let us in ({error.details()}): check the token, "
                "and what its user may do"
            )
        self.close()
        return MilvusUnavailable(
            f"Milvus at {self.uri} does not answer ({error}): check that it runs, the address, "
            "and what it wants of strangers (token, certificates)"
        )
