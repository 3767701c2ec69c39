"""The connection to Milvus: reconnects after failures, and raises the errors of `index.errors`."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped]

from index.errors import MilvusUnavailable, RowRejected
from index.milvus.config import MilvusConfig

if TYPE_CHECKING:
    from index.milvus.column_client import ColumnClient

REJECTED_CODES = {6, 1100, 1101}  # illegal argument (Lite), invalid and missing parameter (server)
NO_CONNECTION = 2
# pymilvus pings every ten seconds. Milvus allows it; Lite's server ends a connection that pings
# more than twice in five minutes without data ("Too many pings"), and the current calls with it.
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
    """A client of pymilvus, made on first use and again after a failure. Thread-safe.

    gRPC reconnects an idle connection by itself; where a restarted server has not loaded a
    collection (Lite never does), it is loaded and the call made again, once.
    """

    def __init__(self, config: MilvusConfig) -> None:
        self.uri = config.uri
        self._config = config
        self._timeout_s = config.timeout_s
        self._client: ColumnClient | None = None
        self._lock = threading.Lock()
        # Imported late: pymilvus imports pandas, which takes a second.
        from pymilvus import exceptions  # noqa: PLC0415

        self._exceptions = exceptions
        # pymilvus logs a traceback for each failed call; the caller gets it as an exception anyway.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the client by name.

        Raises:
            NotFound: no such collection or alias.
            RowRejected: Milvus can never accept these arguments.
            MilvusUnavailable: any other failure; retrying an unknown one loses no rows.
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
        """Close the connection; the next call makes a new one."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _try(self, method: str, *args: Any, **kwargs: Any) -> Any:
        with self._lock:
            if self._client is None:
                from index.milvus.column_client import ColumnClient  # noqa: PLC0415  as above

                self._client = ColumnClient(
                    uri=self.uri,
                    token=self._config.token or "",
                    timeout=self._timeout_s,
                    grpc_options=KEEPALIVE[self._config.kind],
                    **self._config.tls(),
                )
            client = self._client
        return getattr(client, method)(*args, timeout=self._timeout_s, **kwargs)

    def _translate(self, error: Exception) -> Exception:
        """The error of ours that an exception of pymilvus or gRPC stands for."""
        exceptions = self._exceptions
        rejected = (
            exceptions.ParamError,
            exceptions.DataNotMatchException,
            exceptions.DataTypeNotMatchException,
        )
        unreachable = (exceptions.ConnectError, exceptions.MilvusUnavailableException)
        if isinstance(error, exceptions.MilvusException):
            message = error.message or str(error)
            if error.code in NOT_FOUND_CODES:
                return NotFound(message)
            if isinstance(error, rejected) or error.code in REJECTED_CODES:
                return RowRejected(f"Milvus rejects the request: {message}")
            if error.code != NO_CONNECTION and not isinstance(error, unreachable):
                return MilvusUnavailable(f"Milvus at {self.uri} failed: {message}")
        elif isinstance(error, ValueError) and "closed channel" not in str(error):
            return RowRejected(f"the request cannot be encoded for Milvus: {error}")
        elif isinstance(error, grpc.Call) and error.code() in DENIED:
            return MilvusUnavailable(
                f"Milvus at {self.uri} denies access ({error.details()}): check the token and the "
                "privileges of its user"
            )
        self.close()
        return MilvusUnavailable(
            f"Milvus at {self.uri} does not answer ({error}): check that it runs, the address, "
            "and whether it needs a token or certificates"
        )
