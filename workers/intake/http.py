"""Pictures over http(s): every hop's address is checked, the size while reading; with retries.

A host is asked politely (`workers.intake.host_gate`), and a picture that is there already only
whether it has changed.
"""

from __future__ import annotations

import asyncio
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import httpcore
import httpx

from workers.config.sections import IntakeSettings
from workers.errors import FetchError, HeadersMissing, SettingsError
from workers.intake.download import NO_VALIDATORS, Download, Validators
from workers.intake.host_gate import (
    Answered,
    Clock,
    HostFailed,
    HostGates,
    HostThrottled,
    Sleep,
    retry_after_s,
)
from workers.intake.limits import check_bytes, too_large
from workers.intake.request_headers import Headers, RequestHeaders, origin
from workers.intake.ssrf_guard import GuardedNetwork, Resolve, parse_url, redacted, resolve

MAX_REDIRECTS = 5
REDIRECTS = {301, 302, 303, 307, 308}
# Transient statuses: overload, restarts, gateways, rate limits.
RETRY_STATUS = {408, 425, 429, 500, 502, 503, 504}
# Of these, the ones that say something about the host, and not about the picture alone.
HOST_STATUS = {429, 502, 503, 504}
NOT_MODIFIED = 304
TOO_MANY = 429
FIRST_RETRY_S = 0.2
MAX_RETRY_S = 2.0
# `parallel` in the settings bounds the downloads; here only hanging servers may pile up.
MAX_CONNECTIONS = 256
INFLATE_STEP = 1 << 16


class HttpFetcher:
    """Downloads within the limits of `settings`; made by `open_http`."""

    def __init__(
        self,
        settings: IntakeSettings,
        pool: httpcore.AsyncConnectionPool,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._clock = clock
        self._sleep = sleep
        self._headers = RequestHeaders(settings)
        self._gates = HostGates(self._headers.parallel, clock, sleep)
        self._slots = asyncio.Semaphore(settings.parallel)

    async def get(self, url: str, known: Validators = NO_VALIDATORS) -> Download:
        """The body behind `url`, at most `intake.max_bytes` when unpacked.

        Raises:
            FetchError: not there, not allowed, too large, too slow, still failing after
                `intake.attempts` tries, or no turn at its host for `intake.patience_s` seconds.
        """
        until = self._clock() + self._settings.patience_s
        budget = _Budget(self._settings.total_s, self._clock)
        failures = 0
        while True:
            try:
                return await self._download(url, known, until, budget)
            except HostThrottled:
                continue  # its gate knows when, or that it is too late
            except HostFailed as error:
                failures += 1
                if failures == self._settings.attempts:
                    raise FetchError(f"{error} (tried {failures} times)") from error
            except TimeoutError as error:
                limit = f"{self._settings.total_s:g} s (intake.total_s)"
                raise FetchError(f"{redacted(url)}: no picture within {limit}") from error
            await self._sleep(min(MAX_RETRY_S, FIRST_RETRY_S * 2 ** (failures - 1)))

    async def _download(
        self, reference: str, known: Validators, until: float, budget: _Budget
    ) -> Download:
        url = parse_url(reference)
        for _ in range(MAX_REDIRECTS + 1):
            turn = self._gates.turn(origin(url), until)
            async with turn as answered, self._slots, budget.spending():
                answer = await self._ask(url, known, answered)
            if isinstance(answer, Download):
                return answer
            url = parse_url(_joined(url, answer))
        raise FetchError(f"{redacted(reference)}: more than {MAX_REDIRECTS} redirects")

    async def _ask(self, url: httpx.URL, known: Validators, answered: Answered) -> Download | str:
        """The picture, or where the server says that it is."""
        what = redacted(str(url))
        try:
            async with self._request(url, known) as response:
                if response.status not in HOST_STATUS:
                    answered()
                target = _redirect(response)
                if target is not None:
                    return target
                if response.status == NOT_MODIFIED and known:
                    return Download(None, known)
                _check_status(response, what)
                return Download(await self._body(response, what), _validators(response))
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            if isinstance(error, httpcore.ProtocolError):
                answered()  # whatever it was
            raise _failure(error, what) from error

    @asynccontextmanager
    async def _request(self, url: httpx.URL, known: Validators) -> AsyncIterator[httpcore.Response]:
        limit = self._settings.timeout_s
        try:
            headers = self._headers.of(url)
        except SettingsError as error:
            raise HeadersMissing(str(error)) from error
        async with self._pool.stream(
            "GET",
            httpcore.URL(
                scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
            ),
            headers=[*headers, *_conditions(known)],
            extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), limit)},
        ) as response:
            yield response

    async def _body(self, response: httpcore.Response, what: str) -> bytes:
        unpack = _unpacking(_header(response, b"content-encoding").lower(), what)
        limit = self._settings.max_bytes
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
    settings: IntakeSettings,
    lookup: Resolve = resolve,
    clock: Clock = time.monotonic,
    sleep: Sleep = asyncio.sleep,
) -> AsyncIterator[HttpFetcher]:
    """An HttpFetcher whose connections end with the block. Proxies are not used."""
    async with httpcore.AsyncConnectionPool(
        ssl_context=httpx.create_ssl_context(trust_env=False),
        max_connections=MAX_CONNECTIONS,
        keepalive_expiry=5.0,
        network_backend=GuardedNetwork(settings, lookup),
    ) as pool:
        yield HttpFetcher(settings, pool, clock, sleep)


class _Budget:
    """The seconds that the requests for one picture may still take."""

    def __init__(self, total_s: float, clock: Clock) -> None:
        self._left_s = total_s
        self._clock = clock

    @asynccontextmanager
    async def spending(self) -> AsyncIterator[None]:
        """Raises TimeoutError when nothing is left."""
        began = self._clock()
        try:
            async with asyncio.timeout(self._left_s):
                yield
        finally:
            self._left_s -= self._clock() - began


def _conditions(known: Validators) -> Headers:
    """The headers that ask for a picture only if it changed."""
    names = {"etag": b"if-none-match", "last_modified": b"if-modified-since"}
    return [(names[name], value.encode("ascii")) for name, value in known.values().items()]


def _validators(response: httpcore.Response) -> Validators:
    etag, last_modified = _header(response, b"etag"), _header(response, b"last-modified")
    return Validators.of({"etag": etag, "last_modified": last_modified})


def _check_status(response: httpcore.Response, what: str) -> None:
    """Raise unless it is 200: `HostFailed` where another request may be answered."""
    message = f"{what} answered {response.status}"
    if response.status in RETRY_STATUS:
        wait, date = _header(response, b"retry-after"), _header(response, b"date")
        after_s = retry_after_s(wait, date, time.time())
        if response.status == TOO_MANY or (response.status == 503 and after_s is not None):
            raise HostThrottled(message, after_s)
        raise HostFailed(message)
    if response.status != httpx.codes.OK:
        raise FetchError(message)


def _failure(error: Exception, what: str) -> Exception:
    """The error for a failed exchange: `HostFailed`, or final."""
    reason = f"{what}: {type(error).__name__} {error}".rstrip()
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return FetchError(f"{what}: its certificate is not valid: {cause.verify_message}")
        cause = cause.__cause__ or cause.__context__  # httpcore loses the former
    if isinstance(error, httpcore.LocalProtocolError | httpcore.UnsupportedProtocol):
        return FetchError(reason)
    return HostFailed(reason)


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
