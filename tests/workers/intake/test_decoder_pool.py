"""Decoder processes: what they do to a bad picture, to its neighbours, and at the end."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import psutil
import pytest

from tests.hostile import faulty_decoder
from tests.hostile.case import Case
from tests.hostile.check import Tally, check_case
from tests.hostile.intakes import DEFAULT
from tests.hostile.pictures import flat, noisy
from tests.paths import ROOT
from workers.config.sections import IntakeSettings
from workers.errors import DecoderError, PictureRefused
from workers.intake.decode import decode_picture
from workers.intake.decoder_pool import DecoderPool
from workers.intake.fetch import Fetcher, open_fetcher

QUICK = IntakeSettings(decode_s=1.0, decoder_mb=200)
GOOD = noisy("JPEG", (400, 300))


def wait_dead(pid: int) -> None:
    """Until the process is gone, or waits to be reaped."""
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)


@pytest.fixture
def decoders() -> Iterator[DecoderPool]:
    with contextlib.closing(DecoderPool(QUICK)) as pool:
        yield pool


@pytest.fixture
def bad() -> Iterator[DecoderPool]:
    with contextlib.closing(DecoderPool(QUICK, faulty_decoder.COMMAND)) as pool:
        yield pool


async def test_the_same_pixels_as_in_this_process(decoders: DecoderPool) -> None:
    expected = decode_picture(GOOD, QUICK.max_pixels).picture
    pictures = await asyncio.gather(*(decoders.decode(GOOD) for _ in range(8)))
    assert all(np.array_equal(one.picture, expected) for one in pictures)
    assert len(decoders.pids) <= QUICK.decoders


async def test_a_truncated_picture_is_marked(decoders: DecoderPool) -> None:
    found = await decoders.decode(GOOD[:-2])
    assert found.truncated
    assert np.array_equal(found.picture, decode_picture(GOOD, QUICK.max_pixels).picture)
    assert not (await decoders.decode(GOOD)).truncated


async def test_a_refusal_keeps_the_process(decoders: DecoderPool) -> None:
    await decoders.decode(GOOD)
    before = decoders.pids
    with pytest.raises(PictureRefused, match="an HTML page"):
        await decoders.decode(b"<html>")
    await decoders.decode(GOOD)
    assert decoders.pids == before


@pytest.mark.parametrize("case", list(faulty_decoder.decoder_faults(1)), ids=lambda case: case.name)
async def test_what_a_picture_does_to_its_decoder_hits_nobody_else(
    case: Case, bad: DecoderPool
) -> None:
    tally = Tally()
    async with open_fetcher(DEFAULT) as opened:
        fetcher = Fetcher(DEFAULT, opened.http, opened.storage, bad)
        checking = asyncio.create_task(check_case(case, fetcher, tally))
        for _ in range(3):
            assert (await bad.decode(GOOD)).picture.shape == (300, 400, 3)
        await checking
    assert (tally.wrong, tally.crashed, tally.hung) == (0, 0, 0), tally.notes
    assert (await bad.decode(GOOD)).picture.shape == (300, 400, 3)


async def test_a_decoder_killed_between_two_pictures_is_replaced(decoders: DecoderPool) -> None:
    await decoders.decode(GOOD)
    [pid] = decoders.pids
    os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(wait_dead, pid)
    await decoders.decode(GOOD)
    assert pid not in decoders.pids


async def test_a_picture_is_not_blamed_for_what_an_earlier_one_did(bad: DecoderPool) -> None:
    """The decoder is killed in the middle of an honest picture; a fresh one decodes it."""
    await bad.decode(GOOD)
    [pid] = bad.pids
    os.kill(pid, signal.SIGSTOP)  # takes the picture, and does not answer before it is killed
    decoding = asyncio.create_task(bad.decode(GOOD))
    await asyncio.sleep(0.2)
    os.kill(pid, signal.SIGKILL)
    assert (await decoding).picture.shape == (300, 400, 3)


async def test_closing_ends_all_processes_even_one_that_hangs(bad: DecoderPool) -> None:
    await bad.decode(GOOD)
    hanging = asyncio.create_task(bad.decode(flat("PNG") + b"HANG"))
    await asyncio.sleep(0.2)
    pids = bad.pids
    await asyncio.to_thread(bad.close)
    with pytest.raises(DecoderError, match="closed"):
        await hanging
    assert pids
    assert not any(map(psutil.pid_exists, pids))


async def test_a_decoder_that_cannot_start_is_not_the_pictures_fault() -> None:
    broken = (sys.executable, "-c", "import sys; sys.exit('no library')")
    for command, words in (
        (broken, r"does not start \(exit status 1\).*no library"),
        (("/no/such/program",), "can be started"),
    ):
        pool = DecoderPool(QUICK, command)
        with pytest.raises(DecoderError, match=words):
            await pool.decode(GOOD)
        pool.close()


async def test_a_decoder_knows_no_secret_and_has_no_more_memory(
    decoders: DecoderPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOKSTREAM_KAFKA__PASSWORD", "secret")
    await decoders.decode(GOOD)
    [pid] = decoders.pids
    process = psutil.Process(pid)
    assert not any("PASSWORD" in name for name in process.environ())
    if sys.platform == "linux":
        assert process.rlimit(psutil.RLIMIT_AS)[0] == QUICK.decoder_mb << 20
        assert process.rlimit(psutil.RLIMIT_FSIZE)[0] == 0


PARENT = """
import asyncio, sys
from tests.hostile import faulty_decoder
from tests.hostile.pictures import flat
from workers.intake.decoder_pool import DecoderPool
from workers.config.sections import IntakeSettings

async def main():
    pool = DecoderPool(IntakeSettings(decode_s=60), faulty_decoder.COMMAND)
    await pool.decode(flat("PNG"))
    hanging = asyncio.create_task(pool.decode(flat("PNG") + b"SPIN"))
    await asyncio.sleep(0.3)
    print(*pool.pids, flush=True)
    await hanging

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a busy decoder ends at its limit")
def test_decoders_die_with_their_parent_even_busy_ones() -> None:
    root = ROOT
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, cwd=root)
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert pids
    end = time.monotonic() + 30
    while any(map(psutil.pid_exists, pids)):
        assert time.monotonic() < end, "decoders outlive their parent"
        time.sleep(0.02)
