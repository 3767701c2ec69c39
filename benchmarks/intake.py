"""Hostile inputs through intake: what is accepted, what is refused, and what it costs.

    lookstream bench intake [--json] [--seed 0] [--flips 12] [--group NAME]

Hand-made and fuzzed pictures of every format, decompression bombs, files of other kinds, hostile
addresses, a hostile server on loopback and decoders with bugs; each with the outcome it must have
(`tests.hostile`). All the time a valid picture goes through the same decoders beside them and must
come out unchanged. The last line is one JSON object:

    inputs            how many there were
    wrong             with another outcome, size, colour or reason than expected; valid pictures
                      that were harmed; connections to a port that nobody may connect to
    crashed           that raised anything but a refusal, which would have ended the worker
    hung              without an outcome within 40 s
    peak_mb           memory of this process and its decoders together, the largest seen
    accepted, refused the outcomes
    ms_per_picture    a photo through a decoder process; ms_in_process: without one
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import psutil

from tests.hostile import addresses, bombs, faulty_decoder, not_images, pictures, server
from tests.hostile.case import Case
from tests.hostile.check import Tally, check_case
from tests.hostile.intakes import DEFAULT, forbidden_port, open_intakes
from workers.errors import IntakeError
from workers.intake.decode import decode_picture
from workers.intake.decoder_pool import DecoderPool
from workers.intake.fetch import Fetcher

CONCURRENT = 4
SAMPLE_MEMORY_S = 0.005
# The intake that the valid picture beside a group goes through, where it is not the default.
INTAKE_OF = {"server": "loopback", "decoders": "faulty_decoders"}


class PeakMemory(threading.Thread):
    """Samples the memory of this process and its children; `peak_mb` is the largest total."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_mb = 0.0
        self._stop_asked = threading.Event()

    def run(self) -> None:
        """Sample every few milliseconds."""
        me = psutil.Process()
        while not self._stop_asked.wait(SAMPLE_MEMORY_S):
            total = 0
            for process in (me, *me.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    total += process.memory_info().rss
            self.peak_mb = max(self.peak_mb, total / 1e6)

    def stop(self) -> float:
        """Stop sampling and return the peak in MB."""
        self._stop_asked.set()
        self.join()
        return self.peak_mb


def groups(
    seed: int, damaged: int, url: str, port: int, scratch: Path
) -> dict[str, Iterator[Case]]:
    """All cases by group, made when they are needed.

    Args:
        seed: of the fuzzed inputs.
        damaged: pictures with damaged pixels, for each format and kind of damage.
        url: of the hostile server.
        port: of 127.0.0.1, which nobody may connect to.
        scratch: a folder to write to.
    """
    rng = random.Random(seed)
    return {
        "pictures": pictures.unusual_but_valid(),
        "not_images": not_images.other_files(),
        "truncated": not_images.truncated(rng),
        "random": not_images.random_bytes(rng),
        "checksums": not_images.damaged_checksums(rng),
        "damaged": not_images.damaged_pixels(rng, damaged),
        "bombs": bombs.bombs(),
        "addresses": addresses.addresses(port),
        "references": addresses.other_references(scratch / "shop"),
        "server": server.server_cases(url),
        "decoders": faulty_decoder.decoder_faults(2),
    }


@asynccontextmanager
async def valid_picture_beside(fetcher: Fetcher, tally: Tally) -> AsyncIterator[None]:
    """Decode a valid picture again and again, in the same decoders, while the block runs."""
    valid = pictures.noisy("PNG", (320, 240))
    expected = decode_picture(valid, DEFAULT.max_pixels).picture

    async def keep_decoding() -> None:
        while True:
            try:
                same = np.array_equal((await fetcher.decode(valid)).picture, expected)
            except IntakeError as error:
                same = False
                tally.note("a valid picture beside", str(error))
            tally.wrong += not same
            await asyncio.sleep(0.05)

    decoding = asyncio.create_task(keep_decoding())
    try:
        yield
    finally:
        decoding.cancel()
        [outcome] = await asyncio.gather(decoding, return_exceptions=True)
        if not isinstance(outcome, asyncio.CancelledError):
            tally.crashed += 1
            tally.note("a valid picture beside", f"raised {outcome!r}")


async def run(
    seed: int,
    damaged: int,
    only: str | None,
    tally: Tally,
    on_group: Callable[[str, int, float], None] = lambda name, inputs, seconds: None,
) -> None:
    """Put all cases (or those of one group) through, a few at a time."""
    async with AsyncExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port, connections = stack.enter_context(forbidden_port())
        hostile = stack.enter_context(server.hostile_server(port))
        intakes = await stack.enter_async_context(open_intakes())
        for name, cases in groups(seed, damaged, hostile.url, port, scratch).items():
            if only in (None, name):
                started, before = time.monotonic(), tally.inputs
                async with valid_picture_beside(intakes[INTAKE_OF.get(name, "default")], tally):
                    await _check_all(cases, intakes, tally)
                on_group(name, tally.inputs - before, time.monotonic() - started)
        if connections:
            tally.wrong += len(connections)
            tally.note("the forbidden port", f"{len(connections)} connections")


async def _check_all(cases: Iterator[Case], intakes: dict[str, Fetcher], tally: Tally) -> None:
    async def work() -> None:
        for case in cases:
            await check_case(case, intakes[case.intake], tally)

    await asyncio.gather(*(work() for _ in range(CONCURRENT)))


async def cost(times: int) -> dict[str, float]:
    """Milliseconds for a photo of 1000 × 750, with and without a decoder process."""
    photo = pictures.noisy("JPEG", (1000, 750))
    decoders = DecoderPool(DEFAULT)
    with contextlib.closing(decoders):
        await decoders.decode(photo)
        in_pool, in_process = [], []
        for _ in range(times):
            started = time.perf_counter()
            await decoders.decode(photo)
            in_pool.append(time.perf_counter() - started)
            started = time.perf_counter()
            decode_picture(photo, DEFAULT.max_pixels)
            in_process.append(time.perf_counter() - started)
    return {
        "ms_per_picture": round(statistics.median(in_pool) * 1e3, 2),
        "ms_in_process": round(statistics.median(in_process) * 1e3, 2),
    }


def main() -> None:
    """Run all and print one JSON object last; the exit status is 1 if something was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="of the fuzzed inputs")
    parser.add_argument("--flips", type=int, default=12, help="damaged pictures per format × 2")
    parser.add_argument("--group", help="only these cases: pictures, bombs, server, …")
    parser.add_argument("--json", action="store_true", help="(the last line is JSON anyway)")
    options = parser.parse_args()
    tally, memory = Tally(), PeakMemory()
    shown = 0

    def report(group: str, inputs: int, seconds: float) -> None:
        nonlocal shown
        for note in tally.notes[shown:]:
            print(f"  WRONG {note}", file=sys.stderr)
        shown = len(tally.notes)
        about = f"{inputs:5}  {seconds:5.1f} s  up to {memory.peak_mb:4.0f} MB"
        print(f"{group:10} {about}", file=sys.stderr)

    memory.start()
    asyncio.run(run(options.seed, options.flips, options.group, tally, report))
    peak = memory.stop()
    for note in tally.notes[shown:]:
        print(f"  WRONG {note}", file=sys.stderr)
    print(f"refusals: {dict(tally.reasons)}", file=sys.stderr)
    found: dict[str, Any] = {
        "inputs": tally.inputs,
        "wrong": tally.wrong,
        "crashed": tally.crashed,
        "hung": tally.hung,
        "peak_mb": round(peak, 1),
        "accepted": tally.accepted,
        "refused": tally.refused,
        **asyncio.run(cost(40)),
    }
    print(orjson.dumps(found).decode())
    if tally.wrong or tally.crashed or tally.hung:
        sys.exit(1)


if __name__ == "__main__":
    main()
