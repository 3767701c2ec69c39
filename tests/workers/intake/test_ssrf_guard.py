"""The guard: which addresses are public, which URLs are URLs, where a connection really goes."""

import ipaddress
import socket

import httpcore
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.hostile.addresses import HOSTS, NAMES, lookup
from workers.config.sections import IntakeSettings
from workers.errors import FetchError
from workers.intake.ssrf_guard import GuardedNetwork, is_public, parse_url, redacted


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "1.1.1.1", "223.255.255.255", "2606:4700::1111", "2a00:1450::1"]
)
def test_what_everybody_may_ask_is_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@given(st.ip_addresses())
def test_nothing_is_public_that_python_knows_as_special(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if is_public(address) and address not in ipaddress.ip_network("64:ff9b::/96"):
        assert address.is_global
        assert not address.is_multicast


@given(st.ip_addresses(v=4), st.sampled_from(["::ffff:0:0", "64:ff9b::"]))
def test_ipv4_in_other_clothes_is_judged_as_what_it_is(
    address: ipaddress.IPv4Address, prefix: str
) -> None:
    dressed = ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | int(address))
    assert is_public(dressed) == is_public(address)


@given(st.text() | st.text().map("http://".__add__) | st.from_regex(r"https?://[^/]{0,30}/?"))
@example("http://[::1")
@example("http://xn--a/")
@example("http://\ud800/")
def test_any_text_is_a_url_or_refused(text: str) -> None:
    try:
        url = parse_url(text)
    except FetchError:
        return
    assert url.scheme in ("http", "https")
    assert url.raw_host
    assert not url.userinfo


def test_messages_show_no_secret_of_a_reference() -> None:
    assert redacted("https://me:pw@shop.example/a.png?sig=secret") == "https://…@shop.example/a.png"
    assert len(redacted("x" * 10_000)) < 300
    assert redacted("a\r\nb\0") == "a��b�"


@pytest.mark.parametrize("name", NAMES)
async def test_one_private_address_among_a_hosts_is_enough(name: str) -> None:
    with pytest.raises(FetchError, match="not a public address"):
        await GuardedNetwork(IntakeSettings(), lookup).addresses(name, 80)


async def test_ports_are_bounded_in_public_only() -> None:
    with pytest.raises(FetchError, match=r"port 22 of 1\.1\.1\.1 may not be asked"):
        await GuardedNetwork(IntakeSettings(), lookup).addresses("1.1.1.1", 22)
    allowed = IntakeSettings.model_validate({"allowed_networks": ["10.0.0.0/8"]})
    assert await GuardedNetwork(allowed, lookup).addresses("10.1.2.3", 9000) == ["10.1.2.3"]
    everything = IntakeSettings(allow_private_addresses=True)
    assert await GuardedNetwork(everything, lookup).addresses("127.0.0.1", 22) == ["127.0.0.1"]


async def test_a_name_is_looked_up_once_and_that_address_is_connected() -> None:
    """A second look-up would give another address: that is what rebinding lives on."""
    asked = []

    async def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    settings = IntakeSettings.model_validate({"allowed_networks": ["127.0.0.1/32"]})
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        stream = await GuardedNetwork(settings, rebinding).connect_tcp("shop.test", port, 5.0)
        assert stream.get_extra_info("server_addr") == ("127.0.0.1", port)
        await stream.aclose()
    assert asked == ["shop.test"]


async def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    async def two(host: str, port: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    settings = IntakeSettings.model_validate({"allowed_networks": ["127.0.0.0/8"]})
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        stream = await GuardedNetwork(settings, two).connect_tcp("shop.test", port, 5.0)
        assert stream.get_extra_info("server_addr") == ("127.0.0.1", port)
        await stream.aclose()


@pytest.mark.parametrize(
    ("code", "kind"),
    [(socket.EAI_AGAIN, httpcore.ConnectError), (socket.EAI_NONAME, FetchError)],
)
async def test_only_a_failing_resolver_is_worth_another_try(code: int, kind: type) -> None:
    async def fails(host: str, port: int) -> list[str]:
        raise socket.gaierror(code, "no")

    with pytest.raises(kind, match="has no address"):
        await GuardedNetwork(IntakeSettings(), fails).addresses("shop.test", 80)


def test_every_hostile_host_is_listed_once() -> None:
    assert len({host for host, _ in HOSTS}) == len(HOSTS)
