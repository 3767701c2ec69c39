"""A picture reference becomes bytes: `data:` URI, http(s) URL, or a file under an allowed root.

Nothing here trusts the reference. A URL is resolved first and every address it resolves to must
be public; the connection then goes to that very address, so a second look-up can't change it
(DNS rebinding), and each redirect is checked the same way. Sizes are counted while reading, not
believed from a header.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ipaddress
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

import httpx
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)

from workers.errors import FetchError
from workers.settings import IntakeSettings

MAX_REDIRECTS = 5
# Answers that may be different in a second: overload, restarts, gateways, rate limits.
RETRY_STATUS = {408, 425, 429, 500, 502, 503, 504}


class _TryAgain(Exception):
    """A failure that may pass; its message is what the last one was."""


@dataclass(frozen=True)
class Fetcher:
    """Fetches pictures within the limits of `settings`; made by `open_fetcher`."""

    settings: IntakeSettings
    http: httpx.AsyncClient

    async def fetch(self, reference: str) -> bytes:
        """The bytes behind `reference`, at most `settings.max_bytes` of them.

        Raises:
            FetchError: not there, not allowed, too large, or still failing after
                `settings.attempts` tries.
        """
        scheme = urlsplit(reference).scheme.lower() if "://" in reference else ""
        if reference[:5].lower() == "data:":
            return self._checked(_from_data_uri(reference), "the data: URI")
        if scheme in ("http", "https"):
            return await self._from_web(reference)
        if scheme == "file":
            reference = urlsplit(reference).path
        elif scheme:
            raise FetchError(
                f"{scheme}:// is not a kind of picture reference that can be read; "
                "use http(s)://, a file path, or a data: URI"
            )
        return await asyncio.to_thread(self._from_file, reference)

    def _checked(self, data: bytes, what: str) -> bytes:
        if len(data) > self.settings.max_bytes:
            raise FetchError(_too_large(what, self.settings.max_bytes))
        if not data:
            raise FetchError(f"{what} is empty")
        return data

    def _from_file(self, name: str) -> bytes:
        try:
            path = Path(name).resolve()
            allowed = any(path.is_relative_to(root.resolve()) for root in self.settings.roots)
            if not allowed or not path.is_file():
                # One message for both, so that a message can't be used to ask which files exist.
                raise FetchError(
                    f"no picture at {name}: the file is missing, or not in a folder that "
                    f"intake.roots allows ({_listed(self.settings.roots)})"
                )
            with path.open("rb") as file:
                return self._checked(file.read(self.settings.max_bytes + 1), name)
        except (OSError, ValueError) as error:
            raise FetchError(f"{name} can't be read: {error}") from error

    async def _from_web(self, url: str) -> bytes:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_TryAgain),
            stop=stop_after_attempt(self.settings.attempts),
            wait=wait_exponential_jitter(multiplier=0.2, max=2.0),
            reraise=True,
        )
        try:
            async with asyncio.timeout(self.settings.timeout_s * self.settings.attempts):
                return await retrying(self._download, url)
        except _TryAgain as error:
            raise FetchError(f"{error} (tried {self.settings.attempts} times)") from error
        except TimeoutError as error:
            raise FetchError(f"{url}: no picture within the time limit") from error

    async def _download(self, url: str) -> bytes:
        for _ in range(MAX_REDIRECTS + 1):
            address = await self._public_address(url)
            try:
                async with self._get(url, address) as response:
                    if response.has_redirect_location:
                        url = str(httpx.URL(url).join(response.headers["location"]))
                        continue
                    if response.status_code in RETRY_STATUS:
                        raise _TryAgain(f"{url} answered {response.status_code}")
                    if response.status_code != httpx.codes.OK:
                        raise FetchError(f"{url} answered {response.status_code}")
                    return self._checked(await self._read(response), url)
            except (httpx.TimeoutException, httpx.TransportError) as error:
                raise _TryAgain(f"{url}: {type(error).__name__} {error}".rstrip()) from error
            except (httpx.InvalidURL, httpx.DecodingError) as error:
                raise FetchError(f"{url}: {error}") from error
        raise FetchError(f"{url}: more than {MAX_REDIRECTS} redirects")

    @asynccontextmanager
    async def _get(self, url: str, address: str) -> AsyncIterator[httpx.Response]:
        """GET `url` from `address`, with the name kept for the Host header and the certificate."""
        target = httpx.URL(url)
        request = self.http.build_request(
            "GET",
            target.copy_with(host=address),
            headers={"Host": target.netloc.decode("ascii"), "Accept": "image/*"},
            extensions={"sni_hostname": target.host},
        )
        response = await self.http.send(request, stream=True, follow_redirects=False)
        try:
            yield response
        finally:
            await response.aclose()

    async def _read(self, response: httpx.Response) -> bytes:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > self.settings.max_bytes:
                break
        return bytes(body)

    async def _public_address(self, url: str) -> str:
        """An address to connect to. FetchError unless all the host's addresses may be reached."""
        try:
            target = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise FetchError(f"{url} is not a URL: {error}") from error
        if target.scheme not in ("http", "https") or not target.host:
            raise FetchError(f"{url} is not an http(s) URL")
        port = target.port or (443 if target.scheme == "https" else 80)
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                target.host, port, type=socket.SOCK_STREAM
            )
        except (OSError, UnicodeError) as error:
            raise _TryAgain(f"{target.host} has no address: {error}") from error
        addresses = [str(entry[4][0]) for entry in found]
        if not self.settings.allow_private_addresses:
            for address in addresses:
                if not _is_public(address):
                    raise FetchError(
                        f"{target.host} is {address}, which is not a public address; if the "
                        "pictures really are there, set intake.allow_private_addresses"
                    )
        return addresses[0]


@asynccontextmanager
async def open_fetcher(settings: IntakeSettings) -> AsyncIterator[Fetcher]:
    """A Fetcher whose connections are closed at the end."""
    async with httpx.AsyncClient(timeout=settings.timeout_s, trust_env=False) as http:
        yield Fetcher(settings, http)


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.split("%", maxsplit=1)[0])
    if isinstance(ip, ipaddress.IPv6Address):
        # An IPv4 address in IPv6 clothes (mapped, 6to4, NAT64) is judged as what it really is.
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is None and ip in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return inner.is_global and not inner.is_multicast
    return ip.is_global and not ip.is_multicast


def _from_data_uri(uri: str) -> bytes:
    head, comma, body = uri[5:].partition(",")
    if not comma:
        raise FetchError("the data: URI has no comma, so no data")
    raw = unquote_to_bytes(body)
    if not head.lower().endswith(";base64"):
        return raw
    try:
        return base64.b64decode(raw, validate=True)
    except binascii.Error as error:
        raise FetchError(f"the data: URI is not valid base64: {error}") from error


def _too_large(what: str, limit: int) -> str:
    return f"{what} is larger than {limit / 1e6:g} MB (intake.max_bytes); send a smaller picture"


def _listed(roots: tuple[Path, ...]) -> str:
    return ", ".join(map(str, roots)) or "none are set"
