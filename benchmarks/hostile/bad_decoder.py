"""A decoder process with the bugs that a codec may have one day; `python -m` of this runs it.

A picture whose file ends with one of the words of DEEDS makes it do that; others it decodes. Its
pool must survive all of them.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator

from benchmarks.hostile.case import Case, Verdict, accepted, refused, uri
from benchmarks.hostile.pictures import ORANGE, flat
from workers.intake import decoder
from workers.intake.decode_image import Pixels, read_pixels

COMMAND = (sys.executable, "-S", "-P", "-m", "benchmarks.hostile.bad_decoder")
OUTPUT: list[int] = []


def _fill_memory() -> None:
    hoard = []
    while True:
        hoard.append(bytes(10_000_000))


def _say(words: bytes) -> Callable[[], None]:
    def say() -> None:
        os.write(OUTPUT[0], words)

    return say


def _ignore_signals_and_hang() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(1000)


def _spin() -> None:
    while True:
        pass


DEEDS: dict[bytes, tuple[Callable[[], object], Verdict]] = {
    b"SEGFAULT": (lambda: ctypes.string_at(0), refused("crashed on it .SIGSEGV")),
    b"ABORT": (os.abort, refused("crashed on it .SIGABRT")),
    b"KILLED": (lambda: os.kill(os.getpid(), signal.SIGKILL), refused("crashed on it .SIGKILL")),
    b"LEAVE": (lambda: os._exit(3), refused("crashed on it .exit status 3")),
    b"HOARD": (_fill_memory, refused("more than .* MB")),
    b"HANG": (_ignore_signals_and_hang, refused("took longer than")),
    b"SPIN": (_spin, refused("took longer than")),
    b"NONSENSE": (_say(b"\xff" * 100), refused("nonsense")),
    b"CLAIM": (_say(b"\0" + b"\xff" * 8), refused("nonsense")),
    b"BABBLE": (_say(b"\1" + b"\xff" * 8), refused("nonsense")),
    b"PRINT": (lambda: os.write(1, b"warning: bad codec\n" * 100), accepted((64, 48), ORANGE)),
    b"ERROR": (lambda: 1 // 0, refused("crashed on it .exit status 1")),
}


def sabotage(times: int) -> Iterator[Case]:
    """Each deed `times` times."""
    for _ in range(times):
        for word, (_, verdict) in DEEDS.items():
            name = f"decoder: {word.decode().lower()}"
            yield Case(name, uri(flat("PNG") + word), verdict, "sabotaged")


def _decode(data: bytes, max_pixels: int) -> Pixels:
    for word, (deed, _) in DEEDS.items():
        if data.endswith(word):
            deed()
    return read_pixels(data, max_pixels)


def main() -> None:
    """Run the real decoder process, with these bugs in it."""
    OUTPUT.append(os.dup(1))
    decoder.read_pixels = _decode  # type: ignore[attr-defined]
    decoder.main()


if __name__ == "__main__":
    main()
