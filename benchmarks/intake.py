"""Hostile inputs through intake: what gets in, what is refused, and what it costs.

    lookstream bench intake [--json] [--seed 0] [--flips 12] [--group NAME]

Hand-made and fuzzed pictures of every format, bombs, files of other kinds, hostile addresses, a
hostile server on loopback and decoders with bugs; each with the verdict it must get
(`benchmarks.hostile`). Beside them, all the time, an honest picture goes through the same decoders
and must come out unharmed. The last line is one JSON object:

    inputs            how many there were
    wrong             that got another verdict, size, colour or reason than they must; neighbours
                      that were harmed; connections to where nobody may connect
    crashed           that raised anything but a refusal, which would have ended the worker
    hung              that got no verdict within 40 s
    peak_mb           memory of this process and its decoders together, the largest seen
    accepted, refused the verdicts
    ms_per_picture    an honest photo through a decoder process; ms_in_process: without one
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks.hostile import addresses, bad_decoder, bombs, not_images, pictures, server
from benchmarks.hostile.case import Case
from benchmarks.hostile.harness import DEFAULT, doors, trap
from benchmarks.hostile.memory import Memory
from models.images.letterbox import Picture
from workers.errors import IntakeError
from workers.intake.decode import decode_picture
from workers.intake.decoder_pool import Decoders
from workers.intake.fetch import Fetcher

LIMIT_S = 40.0
AT_ONCE = 4
COLOUR_STEPS = 12
DOORS = {"server": "local", "decoders": "sabotaged"}  # of the groups' cases; "guarded" else


@dataclass
class Tally:
    """What was seen so far; `notes` say what was wrong with which case."""

    inputs: int = 0
    wrong: int = 0
    crashed: int = 0
    hung: int = 0
    accepted: int = 0
    refused: int = 0
    notes: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def note(self, case: str, what: str) -> None:
        """Remember and show what went wrong."""
        self.notes.append(f"{case}: {what}")
        print(f"  WRONG {case}: {what}", file=sys.stderr)


def groups(seed: int, flips: int, url: str, trap: int, scratch: Path) -> dict[str, Iterator[Case]]:
    """All cases, made when they are needed."""
    rng = random.Random(seed)
    return {
        "pictures": pictures.odd_but_honest(),
        "impostors": not_images.other_files(),
        "cut": not_images.cut(rng),
        "random": not_images.random_bytes(rng),
        "checked": not_images.checked_pixels(rng),
        "flipped": not_images.flipped(rng, flips),
        "bombs": bombs.bombs(),
        "addresses": addresses.addresses(trap),
        "schemes": addresses.other_schemes(scratch / "shop"),
        "server": server.misbehaving(url),
        "decoders": bad_decoder.sabotage(2),
    }


async def judge(case: Case, fetcher: Fetcher, tally: Tally) -> None:
    """Put the case through and count what became of it."""
    tally.inputs += 1
    try:
        async with asyncio.timeout(LIMIT_S):
            picture = await fetcher.decode(await fetcher.fetch(case.reference))
    except IntakeError as error:
        tally.refused += 1
        tally.reasons[type(error).__name__] += 1
        verdict = case.verdict
        if verdict.size and not verdict.may_refuse:
            tally.wrong += 1
            tally.note(case.name, f"refused: {str(error)[:200]}")
        elif not re.search(verdict.words, str(error)):
            tally.wrong += 1
            tally.note(case.name, f"refused, but because {str(error)[:200]}")
    except TimeoutError:
        tally.hung += 1
        tally.note(case.name, f"no verdict after {LIMIT_S:g} s")
    except Exception as error:  # whatever it is, it would have ended a worker
        tally.crashed += 1
        tally.note(case.name, f"raised {type(error).__name__} {error}")
    else:
        tally.accepted += 1
        if problem := _differs(picture, case):
            tally.wrong += 1
            tally.note(case.name, problem)


def _differs(picture: Picture, case: Case) -> str:
    size, colour = case.verdict.size, case.verdict.colour
    height, width = picture.shape[:2]
    if size is None:
        return f"accepted as {width} × {height}"
    if (width, height) != size:
        return f"came out as {width} × {height}, not {size[0]} × {size[1]}"
    middle = picture[height // 2, width // 2].astype(int)
    if colour and np.abs(middle - colour).max() > COLOUR_STEPS:
        return f"its colour is {middle.tolist()}, not {list(colour)}"
    return ""


@asynccontextmanager
async def neighbour(fetcher: Fetcher, tally: Tally) -> AsyncIterator[None]:
    """An honest picture through the same door, again and again, beside whatever happens."""
    honest = pictures.noisy("PNG", (320, 240))
    expected = decode_picture(honest, DEFAULT.max_pixels)

    async def keep_asking() -> None:
        while True:
            try:
                same = np.array_equal(await fetcher.decode(honest), expected)
            except IntakeError as error:
                same = False
                tally.note("an honest neighbour", str(error))
            tally.wrong += not same
            await asyncio.sleep(0.05)

    asking = asyncio.create_task(keep_asking())
    try:
        yield
    finally:
        asking.cancel()
        [outcome] = await asyncio.gather(asking, return_exceptions=True)
        if not isinstance(outcome, asyncio.CancelledError):
            tally.crashed += 1
            tally.note("an honest neighbour", f"raised {outcome!r}")


async def run(seed: int, flips: int, only: str | None, tally: Tally, memory: Memory) -> None:
    """Put all cases through, a few at a time."""
    async with AsyncExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port, caught = stack.enter_context(trap())
        hostile = stack.enter_context(server.hostile_server(port))
        opened = await stack.enter_async_context(doors())
        for name, cases in groups(seed, flips, hostile.url, port, scratch).items():
            if only in (None, name):
                started, before = time.monotonic(), tally.inputs
                async with neighbour(opened[DOORS.get(name, "guarded")], tally):
                    await _all(cases, opened, tally)
                taken = time.monotonic() - started
                about = f"{tally.inputs - before:5}  {taken:5.1f} s  up to {memory.peak_mb:4.0f} MB"
                print(f"{name:10} {about}", file=sys.stderr)
        if caught:
            tally.wrong += len(caught)
            tally.note("the trap", f"{len(caught)} connections")


async def _all(cases: Iterator[Case], opened: dict[str, Fetcher], tally: Tally) -> None:
    async def work() -> None:
        for case in cases:
            await judge(case, opened[case.door], tally)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))


async def cost(times: int) -> dict[str, float]:
    """Milliseconds for an honest photo of 1000 × 750, with and without a decoder process."""
    photo = pictures.noisy("JPEG", (1000, 750))
    decoders = Decoders(DEFAULT)
    with contextlib.closing(decoders):
        await decoders.decode(photo)
        apart, within = [], []
        for _ in range(times):
            started = time.perf_counter()
            await decoders.decode(photo)
            apart.append(time.perf_counter() - started)
            started = time.perf_counter()
            decode_picture(photo, DEFAULT.max_pixels)
            within.append(time.perf_counter() - started)
    return {
        "ms_per_picture": round(statistics.median(apart) * 1e3, 2),
        "ms_in_process": round(statistics.median(within) * 1e3, 2),
    }


def main() -> None:
    """Run all and print one JSON object last; the exit status is 1 if something was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="of the fuzzed inputs")
    parser.add_argument("--flips", type=int, default=12, help="damaged pictures per format × 2")
    parser.add_argument("--group", help="only these cases: pictures, bombs, server, …")
    parser.add_argument("--json", action="store_true", help="(the last line is JSON anyway)")
    options = parser.parse_args()
    tally, memory = Tally(), Memory()
    memory.start()
    asyncio.run(run(options.seed, options.flips, options.group, tally, memory))
    peak = memory.stop()
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
