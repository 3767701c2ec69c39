"""One decoder process, seen from its parent: start, request, detection of a crash or hang, kill."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from models.images.decode import WORKING_SIDE
from models.images.files import Decoded
from workers.config.sections import IntakeSettings
from workers.errors import DecoderError, PictureRefused
from workers.intake.decoder import (
    ANSWER,
    LENGTH,
    LONGEST_REASON,
    NO_ROOM,
    PIXELS,
    READY,
    REFUSED,
    TRUNCATED,
)

COMMAND = (sys.executable, "-S", "-P", "-m", "workers.intake.decoder")
START_TIMEOUT_S = 60.0
PIPE_BYTES = 1 << 20  # instead of 64 kB: a picture is a few megabytes
# A decoder gets no secret: of the environment only where libraries are.
PASSED_VARIABLES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")


class DecoderDied(Exception):
    """The process crashed, hung or ran out of memory over a picture; it has been killed."""


class DecoderProcess:
    """A running decoder. `served` counts its pictures; after DecoderDied it is unusable."""

    def __init__(self, settings: IntakeSettings, command: Sequence[str] = COMMAND) -> None:
        self._settings = settings
        self.served = 0
        limits = (settings.decoder_mb, math.ceil(settings.decode_s) + 1, settings.max_pixels)
        with tempfile.TemporaryFile() as stderr:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - the command is ours
                    [*command, str(os.getpid()), *map(str, limits)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    env=_environment(),
                    start_new_session=True,
                )
            except OSError as error:
                raise DecoderError(f"no decoder process can be started: {error}") from error
            self._in, self._out = map(_unblocked, (self._process.stdin, self._process.stdout))
            try:
                self._receive(len(READY), time.monotonic() + START_TIMEOUT_S)
            except (OSError, EOFError, TimeoutError) as error:
                self.kill(grace_s=1.0)
                stderr.seek(0)
                message = stderr.read()[-1000:].decode(errors="replace").strip()
                raise DecoderError(
                    f"the decoder process does not start ({_ending(self._process.returncode)}); "
                    f"it says: {message or 'nothing'}. It may use {settings.decoder_mb} MB "
                    "(intake.decoder_mb)"
                ) from error

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def interrupt(self) -> None:
        """End the process while another thread waits for its answer; that one gets DecoderDied."""
        self._process.kill()

    def decode(self, data: bytes) -> Decoded:
        """The picture in `data`.

        Raises:
            PictureRefused: with the decoder's reason.
            DecoderDied: no answer, or an impossible one; the message says what happened.
        """
        deadline = time.monotonic() + self._settings.decode_s
        self.served += 1
        try:
            self._send(LENGTH.pack(len(data)), deadline)
            self._send(data, deadline)
            return self._answer(deadline)
        except TimeoutError:
            self.kill()
            limit = f"{self._settings.decode_s:g} s (intake.decode_s)"
            raise DecoderDied(f"decoding it took longer than {limit}") from None
        except (OSError, EOFError):
            self.kill(grace_s=1.0)  # its end may be a moment later than that of its pipe
            ending = _ending(self._process.returncode)
            raise DecoderDied(f"the decoder crashed on it ({ending})") from None

    def kill(self, grace_s: float = 0.0) -> None:
        """End the process, if it does not end by itself within `grace_s`, and reap it."""
        if grace_s:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_s)
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()

    def _answer(self, deadline: float) -> Decoded:
        kind, first, second = ANSWER.unpack(self._receive(ANSWER.size, deadline))
        # A decoder that a picture has taken over may answer anything: check what is possible.
        shown = kind in (PIXELS, TRUNCATED)
        if shown and 0 < first <= WORKING_SIDE and 0 < second <= WORKING_SIDE:
            picture = np.empty((second, first, 3), np.uint8)
            self._receive_into(picture.reshape(-1).data, deadline)
            return Decoded(picture, truncated=kind == TRUNCATED)
        if kind == REFUSED and first <= 4 * LONGEST_REASON:
            reason = self._receive(first, deadline)
            raise PictureRefused(reason.decode(errors="replace"))
        self.kill()
        if kind == NO_ROOM:
            limit = f"{self._settings.decoder_mb} MB (intake.decoder_mb)"
            raise DecoderDied(f"decoding it takes more than {limit}")
        raise DecoderDied("over it the decoder answered nonsense")

    def _send(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._in, view) :]
            except BlockingIOError:
                _wait(self._in, select.POLLOUT, deadline)

    def _receive(self, size: int, deadline: float) -> bytearray:
        data = bytearray(size)
        self._receive_into(memoryview(data), deadline)
        return data

    def _receive_into(self, view: memoryview, deadline: float) -> None:
        while view:
            try:
                got = os.readv(self._out, [view])
            except BlockingIOError:
                _wait(self._out, select.POLLIN, deadline)
                continue
            if not got:
                raise EOFError
            view = view[got:]


def _unblocked(pipe: IO[bytes] | None) -> int:
    """The pipe's descriptor, non-blocking, for reads and writes with a deadline."""
    if pipe is None:
        raise ValueError("the process was started without pipes")
    os.set_blocking(pipe.fileno(), False)
    with contextlib.suppress(OSError, AttributeError):  # Linux only, and limited per user
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return pipe.fileno()


def _wait(pipe: int, event: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(pipe, event)
    left = deadline - time.monotonic()
    if left <= 0 or not poll.poll(left * 1000):
        raise TimeoutError


def _environment() -> dict[str, str]:
    home = Path(__file__).parents[2]  # where `workers` is, installed or not
    return {
        **{name: os.environ[name] for name in PASSED_VARIABLES if name in os.environ},
        "PYTHONPATH": os.pathsep.join([str(home), *filter(None, sys.path)]),
        "MALLOC_ARENA_MAX": "1",  # each arena reserves address space
    }


def _ending(status: int | None) -> str:
    if status is not None and status < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-status).name
    return f"exit status {status}"
