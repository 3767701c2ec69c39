"""Pictures over http(s): every hop's address is checked, the size while reading; with retries."""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpcore
import httpx
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)

from workers.config.sections import IntakeSettings
from workers.errors import FetchError
from workers.intake.limits import check_bytes, too_large
from workers.intake.ssrf_guard import GuardedNetwork, Resolve, parse_url, redacted, resolve

MAX_REDIRECTS = 5
REDIRECTS = {301, 302, 303, 307, 308}
# Transient statuses: overload, restarts, gateways, rate limits.
RETRY_STATUS = {408, 425, 429, 500, 502, 503, 504}
# `parallel` in the settings bounds the downloads; here only hanging servers may pile up.
MAX_CONNECTIONS = 256
INFLATE_STEP = 1 << 16


class _Retryable(Exception):
    """A failure that may be transient."""


@dataclass(frozen=True)
class HttpFetcher:
    """Downloads within the limits of `settings`; made by `open_http`."""

    settings: IntakeSettings
    pool: httpcore.AsyncConnectionPool

    async def get(self, url: str) -> bytes:
        """The body behind `url`, at most `settings.max_bytes` when unpacked.

        Raises:
            FetchError: not there, not allowed, too large, too slow, or still failing after
                `settings.attempts` tries.
        """
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_Retryable),
            stop=stop_after_attempt(self.settings.attempts),
            wait=wait_exponential_jitter(multiplier=0.2, max=2.0),
            reraise=True,
        )
        try:
            async with asyncio.timeout(self.settings.total_s):
                return await retrying(self._download, url)
        except _Retryable as error:
            raise FetchError(f"{error} (tried {self.settings.attempts} times)") from error
        except TimeoutError as error:
            limit = f"{self.settings.total_s:g} s (intake.total_s)"
            raise FetchError(f"{redacted(url)}: no picture within {limit}") from error

    async def _download(self, reference: str) -> bytes:
        url = parse_url(reference)
        for _ in range(MAX_REDIRECTS + 1):
            try:
                async with self._get(url) as response:
                    target = _redirect(response)
                    if target is None:
                        return await self._body(response, redacted(str(url)))
            except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as e:
                raise _failure(e, redacted(str(url))) from e
            url = parse_url(_joined(url, target))
        raise FetchError(f"{redacted(reference)}: more than {MAX_REDIRECTS} redirects")

    @asynccontextmanager
    async def _get(self, url: httpx.URL) -> AsyncIterator[httpcore.Response]:
        limit = self.settings.timeout_s
        async with self.pool.stream(
            "GET",
            httpcore.URL(
                scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
            ),
            headers=[
                (b"Host", url.netloc),
                (b"Accept", b"image/*"),
                (b"Accept-Encoding", b"identity"),
                (b"User-Agent", b"lookstream"),
            ],
            extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), limit)},
        ) as response:
            yield response

    async def _body(self, response: httpcore.Response, what: str) -> bytes:
        if response.status in RETRY_STATUS:
            raise _Retryable(f"{what} answered {response.status}")
        if response.status != httpx.codes.OK:
            raise FetchError(f"{what} answered {response.status}")
        unpack = _unpacking(_header(response, b"content-encoding").lower(), what)
        limit = self.settings.max_bytes
        announced = _header(response, b"content-length")
        if announced.isdigit() and int(announced[:20]) > limit:
            raise too_large(what, limit)
        body = bytearray()
        async for packed in response.aiter_stream():
            for chunk in unpack(packed):
                body += chunk
                if len(body) > limit:
                    raise too_large(what, limit)
        return check_bytes(bytes(body), what, limit)


@asynccontextmanager
async def open_http(
    settings: IntakeSettings, lookup: Resolve = resolve
) -> AsyncIterator[HttpFetcher]:
    """An HttpFetcher whose connections end with the block. Proxies are not used."""
    async with httpcore.AsyncConnectionPool(
        ssl_context=httpx.create_ssl_context(trust_env=False),
        max_connections=MAX_CONNECTIONS,
        keepalive_expiry=5.0,
        network_backend=GuardedNetwork(settings, lookup),
    ) as pool:
        yield HttpFetcher(settings, pool)


def _failure(error: Exception, what: str) -> Exception:
    """The error for a failed exchange: `_Retryable`, or final."""
    reason = f"{what}: {type(error).__name__} {error}".rstrip()
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return FetchError(f"{what}: its certificate is not valid: {cause.verify_message}")
        cause = cause.__cause__ or cause.__context__  # httpcore loses the former
    if isinstance(error, httpcore.LocalProtocolError | httpcore.UnsupportedProtocol):
        return FetchError(reason)
    return _Retryable(reason)


def _redirect(response: httpcore.Response) -> str | None:
    """The target of a redirect, if the response is one."""
    location = _header(response, b"location")
    return location if location and response.status in REDIRECTS else None


def _joined(url: httpx.URL, target: str) -> str:
    try:
        return str(url.join(target))
    except (httpx.InvalidURL, ValueError) as error:
        raise FetchError(f"{redacted(str(url))} redirects to no URL: {error}") from error


def _header(response: httpcore.Response, name: bytes) -> str:
    """A header's value; "" without one."""
    value = next((v for n, v in response.headers if n.lower() == name), b"")
    return value.decode("latin-1").strip()


def _unpacking(encoding: str, what: str) -> Callable[[bytes], Iterator[bytes]]:
    """Decodes a Content-Encoding in small steps, so that a decompression bomb is noticed in time.

    We request none; some servers compress all the same.
    """
    if encoding in ("", "identity"):
        return lambda chunk: iter((chunk,))
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise FetchError(f"{what} is sent as {encoding[:50]!r}, though we asked for it unpacked")
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # | 32: gzip or zlib, as it begins

    def unpack(chunk: bytes) -> Iterator[bytes]:
        try:
            while chunk and not unpacker.eof:
                yield unpacker.decompress(chunk, INFLATE_STEP)
                chunk = unpacker.unconsumed_tail
        except zlib.error as error:
            raise FetchError(f"{what} is damaged: {error}") from error

    return unpack
