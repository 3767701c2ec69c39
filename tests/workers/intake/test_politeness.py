"""Hosts are asked as they want it: when, how often, with which headers, and for nothing twice."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.servers.picture_host import PictureHost, Reply, picture_host
from workers.config.sections import IntakeSettings
from workers.errors import FetchError, HeadersMissing, SettingsError
from workers.intake.download import NO_VALIDATORS, Validators
from workers.intake.http import HttpFetcher, open_http

SECRET = "Bearer open-sesame"


@pytest.fixture
def host() -> Iterator[PictureHost]:
    with picture_host() as server:
        yield server


@pytest.fixture
def other() -> Iterator[PictureHost]:
    with picture_host() as server:
        yield server


class Time:
    """A clock that moves on when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@asynccontextmanager
async def fetching(time: Time | None = None, **limits: Any) -> AsyncIterator[HttpFetcher]:
    settings = IntakeSettings.model_validate({"allowed_networks": ["127.0.0.1/32"], **limits})
    time = time or Time()
    async with open_http(settings, clock=time.clock, sleep=time.sleep) as http:
        yield http


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - the server is in other threads
            await asyncio.sleep(0.002)


async def test_retry_after_is_obeyed_and_costs_no_try(host: PictureHost) -> None:
    busy = Reply(status=429, headers={"Retry-After": "3"})
    url = host.script("/a.png", busy, busy, busy, busy, Reply(b"picture"))
    time = Time()
    async with fetching(time, attempts=1) as http:
        assert (await http.get(url)).data == b"picture"
    assert host.answers == {429: 4, 200: 1}
    assert time.slept == [3.0, 3.0, 3.0, 4.0]  # its own word, or the doubled pause


@pytest.mark.parametrize("status", [429, 503])
async def test_forty_pictures_of_a_host_that_throttles_all_come(
    host: PictureHost, status: int
) -> None:
    """Five requests in three seconds of its clock, which is ours."""
    time, windows = Time(), list[float]()
    reply_to = host.reply_to

    def throttling(path: str, headers: dict[str, str]) -> Reply:
        recent = [when for when in windows if when > time.now - 3]
        if len(recent) >= 5:
            return Reply(status=status, headers={"Retry-After": "3"})
        windows.append(time.now)
        return reply_to(path, headers)

    host.reply_to = throttling  # type: ignore[method-assign]
    urls = [host.script(f"/{number}.png", Reply(b"picture")) for number in range(40)]
    async with fetching(time) as http:
        downloads = await asyncio.gather(*map(http.get, urls))
    assert all(download.data == b"picture" for download in downloads)
    assert time.now < 40


async def test_a_host_that_never_stops_throttling_is_given_up_with_a_way_out(
    host: PictureHost,
) -> None:
    url = host.script("/a.png", Reply(status=429))
    async with fetching(patience_s=100) as http:
        with pytest.raises(FetchError, match=r"/a.png answered 429; redrive it later, or raise"):
            await http.get(url)
    assert 5 < host.answers[429] < 12


async def test_503_without_a_time_is_a_failure_like_others(host: PictureHost) -> None:
    url = host.script("/a.png", Reply(status=503))
    async with fetching(attempts=3) as http:
        with pytest.raises(FetchError, match="answered 503"):
            await http.get(url)
    assert host.answers == {503: 3}


async def test_a_host_gets_so_many_requests_at_a_time(
    host: PictureHost, other: PictureHost
) -> None:
    hold = threading.Event()
    urls = [host.script(f"/{n}.png", Reply(b"picture", hold=hold)) for n in range(6)]
    quick = other.script("/a.png", Reply(b"picture"))
    hosts = {other.url: {"parallel": 1}}
    async with fetching(per_host=2, parallel=3, hosts=hosts) as http:
        slow = asyncio.gather(*map(http.get, urls))
        await until(lambda: host.under_way == 2)
        assert (await http.get(quick)).data == b"picture"
        assert len(host.asked) == 2
        hold.set()
        await slow
    assert len(host.asked) == 6


async def test_what_did_not_change_is_not_sent_again(host: PictureHost) -> None:
    url = host.keep("/a.png", b"picture", **{"Last-Modified": "Thu, 26 Nov 2026 01:00:00 GMT"})
    async with fetching() as http:
        first = await http.get(url)
        again = await http.get(url, first.validators)
        assert (first.data, again.data) == (b"picture", None)
        assert again.validators == first.validators
        assert host.asked[1][1]["if-modified-since"] == "Thu, 26 Nov 2026 01:00:00 GMT"
        host.keep("/a.png", b"another")
        changed = await http.get(url, first.validators)
    assert changed.data == b"another"
    assert changed.validators != first.validators
    assert host.answers == {200: 2, 304: 1}


async def test_a_server_that_says_not_modified_unasked_is_refused(host: PictureHost) -> None:
    url = host.script("/a.png", Reply(status=304))
    async with fetching() as http:
        with pytest.raises(FetchError, match="answered 304"):
            await http.get(url, NO_VALIDATORS)


@pytest.mark.parametrize("etag", ["", "\x80", "x" * 300, "a\nb", None, 7])
def test_what_could_not_be_sent_back_is_no_validator(etag: object) -> None:
    assert not Validators.of({"etag": etag})


async def test_headers_go_to_their_host_alone(
    host: PictureHost, other: PictureHost, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    target = other.script("/b.png", Reply(b"picture"))
    url = host.script("/a.png", Reply(status=302, headers={"Location": target}))
    hosts = {
        host.url: {
            "headers": {"User-Agent": "shop-index", "X-Key": "47"},
            "header_files": {"Authorization": secret},
        }
    }
    async with fetching(hosts=hosts, user_agent="lookstream/test") as http:
        await http.get(url)
        secret.write_text("Bearer renewed")
        await http.get(url)
    [first, second], [foreign, _] = host.asked, other.asked
    assert (first[1]["user-agent"], first[1]["x-key"]) == ("shop-index", "47")
    assert first[1]["authorization"] == SECRET
    assert second[1]["authorization"] == "Bearer renewed"
    assert foreign[1]["user-agent"] == "lookstream/test"
    assert {"authorization", "x-key"}.isdisjoint(foreign[1])


async def test_a_secret_is_in_no_message(host: PictureHost, tmp_path: Path) -> None:
    hosts = {host.url: {"headers": {"Authorization": SECRET}}}
    url = host.script("/a.png", Reply(status=401))
    async with fetching(hosts=hosts) as http:
        with pytest.raises(FetchError, match="answered 401") as refusal:
            await http.get(url)
    assert SECRET not in str(refusal.value)


async def test_a_header_file_that_is_gone_is_an_error_of_its_own(
    host: PictureHost, tmp_path: Path
) -> None:
    path = tmp_path / "secret"
    path.write_text(SECRET)
    hosts = {host.url: {"header_files": {"Authorization": path}}}
    async with fetching(hosts=hosts) as http:
        path.unlink()
        with pytest.raises(HeadersMissing, match="secret cannot be read"):
            await http.get(host.keep("/a.png", b"red"))


@pytest.mark.parametrize("content", [None, "", "two\nlines", "ünïcode"])
async def test_a_header_file_without_a_header_is_an_error_at_the_start(
    content: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_text(content)
    hosts = {"cdn.shop.example": {"header_files": {"Authorization": path}}}
    with pytest.raises(SettingsError, match=r"header file .*secret (cannot be read|is not one)"):
        async with fetching(hosts=hosts):
            pass


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("cdn.shop.example", "https://cdn.shop.example:443"),
        ("CDN.shop.example:8443", "https://cdn.shop.example:8443"),
        ("http://10.2.0.7", "http://10.2.0.7:80"),
        ("https://[2001:db8::7]", "https://[2001:db8::7]:443"),
    ],
)
def test_a_host_is_named_by_its_origin(host: str, origin: str) -> None:
    assert list(IntakeSettings.model_validate({"hosts": {host: {}}}).hosts) == [origin]


@pytest.mark.parametrize("host", ["", "a/b", "ftp://a", "u@a", "a:b", "https://", "a?b"])
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match=r"is no host|Port"):
        IntakeSettings.model_validate({"hosts": {host: {}}})
