"""A decoder process with the bugs that a codec may have one day; `python -m` of this runs it.

A picture whose file ends with one of the words of FAULTS triggers that fault; others are decoded.
The decoder pool must survive all of them.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator

from models.images.decode import Pixels
from tests.hostile.case import Case, Expected, accepted, data_uri, refused
from tests.hostile.pictures import ORANGE, flat
from workers.intake import decoder
from workers.intake.decode_image import read_pixels

COMMAND = (sys.executable, "-S", "-P", "-m", "tests.hostile.faulty_decoder")
# The file descriptor for the answers, once the decoder runs.
OUTPUT: list[int] = []


def _fill_memory() -> None:
    hoard = []
    while True:
        hoard.append(bytes(10_000_000))


def _write(data: bytes) -> Callable[[], None]:
    def write() -> None:
        os.write(OUTPUT[0], data)

    return write


def _ignore_signals_and_hang() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(1000)


def _spin() -> None:
    while True:
        pass


FAULTS: dict[bytes, tuple[Callable[[], object], Expected]] = {
    b"SEGFAULT": (lambda: ctypes.string_at(0), refused("crashed on it .SIGSEGV")),
    b"ABORT": (os.abort, refused("crashed on it .SIGABRT")),
    b"KILLED": (lambda: os.kill(os.getpid(), signal.SIGKILL), refused("crashed on it .SIGKILL")),
    b"LEAVE": (lambda: os._exit(3), refused("crashed on it .exit status 3")),
    b"HOARD": (_fill_memory, refused("more than .* MB")),
    b"HANG": (_ignore_signals_and_hang, refused("took longer than")),
    b"SPIN": (_spin, refused("took longer than")),
    b"NONSENSE": (_write(b"\xff" * 100), refused("nonsense")),
    b"CLAIM": (_write(b"\0" + b"\xff" * 8), refused("nonsense")),
    b"BABBLE": (_write(b"\1" + b"\xff" * 8), refused("nonsense")),
    b"PRINT": (lambda: os.write(1, b"warning: bad codec\n" * 100), accepted((64, 48), ORANGE)),
    b"ERROR": (lambda: 1 // 0, refused("crashed on it .exit status 1")),
}


def decoder_faults(repeats: int) -> Iterator[Case]:
    """Each fault `repeats` times."""
    for _ in range(repeats):
        for word, (_, expected) in FAULTS.items():
            name = f"decoder: {word.decode().lower()}"
            yield Case(name, data_uri(flat("PNG") + word), expected, "faulty_decoders")


def _decode(data: bytes, max_pixels: int) -> Pixels:
    for word, (fault, _) in FAULTS.items():
        if data.endswith(word):
            fault()
    return read_pixels(data, max_pixels)


def main() -> None:
    """Run the real decoder process, with these faults in it."""
    OUTPUT.append(os.dup(1))
    decoder.read_pixels = _decode  # type: ignore[attr-defined]
    decoder.main()


if __name__ == "__main__":
    main()
