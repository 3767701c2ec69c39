"""Which URLs may be fetched, and from which addresses: protection against SSRF.

A catalog comes from elsewhere, and so do its URLs. They must not make the worker send requests to
its own machine, its network or a cloud's metadata service. What counts is the address a name
resolves to, checked at the moment of connecting: `GuardedNetwork` is the network layer below the
HTTP client, so every connection, also after a redirect, goes to an address that was just checked,
and a second look-up can't change it (DNS rebinding). The HTTP client itself keeps the name, for the
Host header and for the certificate.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

import httpcore
import httpx

from workers.config.sections import IntakeSettings
from workers.errors import FetchError

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]

# IANA's special-purpose registry (IPv4), and other ranges that lead into private networks. Python's
# is_global has fewer, and they differ between its versions.
_NOT_PUBLIC_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",
            "100.64.0.0/10",  # carriers' NAT; Alibaba's metadata is 100.100.100.200
            "127.0.0.0/8",
            "168.63.129.16/32",  # Azure's host, from within
            "169.254.0.0/16",  # link-local; metadata of most clouds is 169.254.169.254
            "172.16.0.0/12",
            "192.0.0.0/24",  # protocols; Oracle's metadata is 192.0.0.192
            "192.0.2.0/24",  # documentation
            "192.31.196.0/24",  # AS112
            "192.52.193.0/24",  # AMT
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",
            "192.175.48.0/24",  # AS112
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)
_PUBLIC_6 = IPv6Network("2000::/3")  # all that has been given out; the rest is special
_NOT_PUBLIC_6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocols: Teredo, ORCHID, benchmarks
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4: IPv4 in disguise, and no longer in use
            "2620:4f:8000::/48",  # AS112
            "3fff::/20",  # documentation
        ),
    )
)
# IPv4 addresses embedded in IPv6, as resolvers return them: checked as IPv4. NAT64 is how networks
# without IPv4 reach the internet.
_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)


def is_public(address: Address) -> bool:
    """Whether the address is one of the public internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    if address in _MAPPED or address in _NAT64:
        return is_public(_inner(address))
    if int(address) >> 32 & 0xFFFFFFFF in _ISATAP and not is_public(_inner(address)):
        return False
    return address in _PUBLIC_6 and not any(address in network for network in _NOT_PUBLIC_6)


def _inner(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFFFFFF)


def parse_url(text: str) -> httpx.URL:
    """The URL in `text`.

    Raises:
        FetchError: it is no http(s) URL, carries credentials, or names its host in a way that
            hides it (decimal, octal, hexadecimal, percent-encoded).
    """
    try:
        url = httpx.URL(text)
        host = url.raw_host.decode("ascii")
    except (httpx.InvalidURL, ValueError, TypeError) as error:
        raise FetchError(f"{redacted(text)} is not a URL: {error}") from error
    if url.scheme not in ("http", "https") or not host:
        raise FetchError(f"{redacted(text)} is not an http(s) URL")
    if url.userinfo:
        raise FetchError(f"{redacted(text)} carries a user name or password; that is not accepted")
    if not _is_plain(host):
        raise FetchError(f"{redacted(text)} has no proper host name or address")
    if url.port is not None and not 0 < url.port < 65536:
        raise FetchError(f"{redacted(text)} has no proper port")
    return url


def _is_plain(host: str) -> bool:
    try:
        return bool(ipaddress.ip_address(host)) and "%" not in host
    except ValueError:
        labels = host.removesuffix(".").split(".")
        return (
            len(host) <= 253
            and all(map(_LABEL.fullmatch, labels))
            and not _NUMBER.fullmatch(labels[-1])
        )


def redacted(text: str) -> str:
    """A reference for messages and logs: short, printable, without what may be a secret in it."""
    plain = re.sub(r"//[^/?#]*@", "//…@", text[:500].partition("?")[0])
    plain = "".join(char if char.isprintable() else "�" for char in plain)
    return plain if len(plain) <= 200 else plain[:200] + "…"


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host by the system's resolver. OSError when there is none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedNetwork(httpcore.AnyIOBackend):
    """The network of the HTTP client: connects to checked addresses only.

    `lookup` resolves names (default: `resolve`). All addresses of a host must be allowed:
    a private one among public ones is an attack.
    """

    def __init__(self, settings: IntakeSettings, lookup: Resolve = resolve) -> None:
        self._settings = settings
        self._lookup = lookup

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first of the host's addresses that answers.

        Raises:
            FetchError: an address is not allowed, or there is none and will be none.
            httpcore.ConnectError, httpcore.ConnectTimeout: may be transient.
        """
        addresses = await self.addresses(host, port)
        for number, address in enumerate(addresses, 1):
            try:
                return _Stream(
                    await super().connect_tcp(address, port, timeout, local_address, socket_options)
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if number == len(addresses):
                    raise
        raise httpcore.ConnectError(f"{host} has no address")

    async def addresses(self, host: str, port: int) -> list[str]:
        """All addresses of a host, every one of them allowed."""
        try:
            addresses = await self._lookup(host, port)
        except socket.gaierror as error:
            if error.errno == socket.EAI_AGAIN:
                raise httpcore.ConnectError(f"{host} has no address now: {error}") from error
            raise FetchError(f"{host} has no address: {error}") from error
        except (OSError, UnicodeError) as error:
            raise FetchError(f"{host} has no address: {error}") from error
        if not self._settings.allow_private_addresses:
            self._check(host, addresses, port)
        return addresses

    def _check(self, host: str, addresses: list[str], port: int) -> None:
        found = [ipaddress.ip_address(address.partition("%")[0]) for address in addresses]
        networks = self._settings.allowed_networks
        unlisted = [ip for ip in found if not any(ip in network for network in networks)]
        for ip in unlisted:
            if not is_public(ip):
                raise FetchError(
                    f"{host} is {ip}, which is not a public address; if the pictures really are "
                    "there, add its network to intake.allowed_networks"
                )
        if unlisted and port not in self._settings.ports:
            raise FetchError(
                f"port {port} of {host} may not be asked; intake.ports are "
                f"{', '.join(map(str, self._settings.ports))}"
            )


class _Stream(httpcore.AsyncNetworkStream):
    """A connection that is closed when a TLS handshake on it is given up: httpcore leaves it open
    when that is because of a cancellation, as our time limit for the whole picture is one.
    """

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore's
    ) -> httpcore.AsyncNetworkStream:
        try:
            return await self._inner.start_tls(ssl_context, server_hostname, timeout)
        except BaseException:
            await self._inner.aclose()
            raise

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        return await self._inner.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
