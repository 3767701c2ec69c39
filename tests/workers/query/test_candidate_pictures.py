"""Candidates' pictures: fetched with limits, kept while there is room, left out where not there."""

from __future__ import annotations

import io
import threading
from collections.abc import AsyncIterator, Iterator, Sequence

import numpy as np
import pytest
from PIL import Image

from models.images.letterbox import Picture
from models.juicer.juice import Juice
from models.reranking.protocol import Candidate
from tests.servers.picture_host import PictureHost, Reply, picture_host
from workers.config.sections import IntakeSettings
from workers.intake.fetch import Fetcher, open_fetcher
from workers.query.candidate_pictures import FORGET_S, CandidatePictures

LIMITS = {"allow_private_addresses": True, "attempts": 1, "decoders": 1}


def jpeg(side: int = 600, grey: int = 100) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side), (grey,) * 3).save(out, "JPEG")
    return out.getvalue()


def at(image: str | None, digest: str = "d") -> Candidate:
    return Candidate("i", 0.5, Juice(), image=image, digest=digest)


def shown(pictures: Sequence[Picture | None]) -> list[bool]:
    return [one is not None for one in pictures]


@pytest.fixture
def host() -> Iterator[PictureHost]:
    with picture_host() as running:
        yield running


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    async with open_fetcher(IntakeSettings.model_validate(LIMITS)) as opened:
        yield opened


async def test_pictures_come_small_and_are_kept(host: PictureHost, fetcher: Fetcher) -> None:
    url = host.script("/a.jpg", Reply(jpeg()))
    pictures = CandidatePictures(fetcher, 10_000_000)
    (first, none, again) = await pictures.fetch([at(url), at(None), at(url)], 30.0)
    assert first is not None
    assert none is None
    assert again is first
    assert first.shape[0] * first.shape[1] <= 80 * 32 * 32
    assert (await pictures.fetch([at(url)], 30.0))[0] is first
    assert host.paths() == ["/a.jpg"]


async def test_another_digest_is_another_picture(host: PictureHost, fetcher: Fetcher) -> None:
    url = host.script("/a.jpg", Reply(jpeg(grey=10)), Reply(jpeg(grey=240)))
    pictures = CandidatePictures(fetcher, 10_000_000)
    (old,) = await pictures.fetch([at(url, "1")], 30.0)
    (new,) = await pictures.fetch([at(url, "2")], 30.0)
    assert old is not None
    assert new is not None
    assert int(np.median(new)) - int(np.median(old)) > 200


async def test_the_oldest_go_where_there_is_no_room(host: PictureHost, fetcher: Fetcher) -> None:
    urls = [host.script(f"/{n}.jpg", Reply(jpeg())) for n in range(3)]
    pictures = CandidatePictures(fetcher, 500_000)  # two of 235 kB
    for url in (urls[0], urls[1], urls[0], urls[2], urls[0], urls[1]):
        assert shown(await pictures.fetch([at(url)], 30.0)) == [True]
    assert host.paths() == ["/0.jpg", "/1.jpg", "/2.jpg", "/1.jpg"]
    nothing = CandidatePictures(fetcher, 0)
    assert shown(await nothing.fetch([at(urls[0])], 30.0)) == [True]


async def test_what_cannot_be_had_is_left_out_and_not_asked_again_for_a_while(
    host: PictureHost, fetcher: Fetcher
) -> None:
    now = [0.0]
    pictures = CandidatePictures(fetcher, 10_000_000, clock=lambda: now[0])
    good = host.script("/good.jpg", Reply(jpeg()))
    bad = [f"{host.url}/missing.jpg", host.script("/no.jpg", Reply(b"no picture")), "file:///etc/x"]
    wanted = [at(one) for one in (good, *bad)]
    assert shown(await pictures.fetch(wanted, 30.0)) == [True, False, False, False]
    assert shown(await pictures.fetch(wanted, 30.0)) == [True, False, False, False]
    assert len(host.asked) == 3
    now[0] = FORGET_S
    host.script("/missing.jpg", Reply(jpeg()))
    assert shown(await pictures.fetch(wanted, 30.0)) == [True, True, False, False]


async def test_addresses_that_are_not_public_are_refused(host: PictureHost) -> None:
    url = host.script("/a.jpg", Reply(jpeg()))
    async with open_fetcher(IntakeSettings(decoders=1)) as guarded:
        assert shown(await CandidatePictures(guarded, 1_000_000).fetch([at(url)], 30.0)) == [False]
    assert not host.asked


async def test_nobody_waits_for_a_slow_one(host: PictureHost, fetcher: Fetcher) -> None:
    release = threading.Event()
    slow = host.script("/slow.jpg", Reply(jpeg(), hold=release))
    quick = host.script("/quick.jpg", Reply(jpeg()))
    pictures = CandidatePictures(fetcher, 10_000_000)
    assert shown(await pictures.fetch([at(quick)], 30.0)) == [True]
    try:
        assert shown(await pictures.fetch([at(slow), at(quick)], 0.05)) == [False, True]
        assert shown(await pictures.fetch([at(slow), at(quick)], -1.0)) == [False, True]
    finally:
        release.set()
    assert shown(await pictures.fetch([at(slow)], 30.0)) == [True]  # late is not missing
