"""The decoder process: reads the bytes of pictures from its input, writes pixels to its output.

It has no secret and needs no file: its environment is nearly empty, its memory is limited, and it
cannot write to disk. So a hostile picture that exploits a library gains little.

Protocol, little-endian. First the process sends READY. Then, until the input ends:

    in   length (4 bytes), the bytes of the file
    out  answer (1 byte), two numbers of 4 bytes, and
           PIXELS    width, height   width × height × 3 bytes of RGB
           TRUNCATED the same, of a file that lacks its last bytes
           REFUSED   length, 0       the reason in UTF-8
           NO_ROOM   0, 0            not enough memory; the process ends
"""

from __future__ import annotations

import os
import resource
import signal
import struct
import sys
import warnings
from typing import BinaryIO

from PIL import AvifImagePlugin, Image, TiffImagePlugin, WebPImagePlugin

from models.images.decode import Pixels
from models.images.heic import decode_in_one_thread
from stream.child_process import die_with
from workers.errors import PictureRefused
from workers.intake.decode_image import read_pixels

READY = b"\x06"
PIXELS, REFUSED, NO_ROOM, TRUNCATED = 0, 1, 2, 3
LENGTH = struct.Struct("<I")
ANSWER = struct.Struct("<BII")
LONGEST_REASON = 2000
# Imported here, before the limits: Pillow would look for them when the first such picture comes.
PLUGINS = (AvifImagePlugin, TiffImagePlugin, WebPImagePlugin)


def main() -> None:
    """Serve until the input ends. Arguments: parent's pid, megabytes, seconds, max_pixels."""
    parent, megabytes, seconds, max_pixels = map(int, sys.argv[1:])
    die_with(parent)
    requests, replies = _own_pipes()
    Image.preinit()
    # Refuses before a plugin makes room for a canvas; Pillow's own error comes at twice this.
    Image.MAX_IMAGE_PIXELS = max(1, max_pixels // 2)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # each thread reserves address space
    decode_in_one_thread()
    warnings.simplefilter("ignore")
    _limit(megabytes)
    replies.write(READY)
    replies.flush()
    serve(requests, replies, max_pixels, seconds)


def serve(requests: BinaryIO, replies: BinaryIO, max_pixels: int, seconds: int) -> None:
    """Answer requests until the input ends or a picture needed more memory than there is."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    while head := requests.read(LENGTH.size):
        # The kernel ends this process if the picture takes longer: also while native code runs, and
        # if the parent, which has a time-out too, has died.
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            pixels = read_pixels(requests.read(*LENGTH.unpack(head)), max_pixels)
        except PictureRefused as error:
            reason = str(error)[:LONGEST_REASON].encode(errors="replace")
            replies.write(ANSWER.pack(REFUSED, len(reason), 0) + reason)
        except MemoryError:
            replies.write(ANSWER.pack(NO_ROOM, 0, 0))
            replies.flush()
            return
        else:
            _send(replies, pixels)
        replies.flush()
        signal.setitimer(signal.ITIMER_REAL, 0)


def _send(replies: BinaryIO, pixels: Pixels) -> None:
    kind = TRUNCATED if pixels.truncated else PIXELS
    replies.write(ANSWER.pack(kind, pixels.width, pixels.height))
    replies.write(pixels.rgb)


def _own_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Input and output on new descriptors, so that what a library prints is in no answer."""
    requests, replies = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    return os.fdopen(requests, "rb"), os.fdopen(replies, "wb")


def _limit(megabytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if sys.platform == "linux":  # elsewhere address space is counted in other ways
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))


if __name__ == "__main__":
    main()
