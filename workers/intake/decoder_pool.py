"""A few warm decoder processes, so that no picture can crash the worker.

A process decodes one picture at a time. A picture that crashes it, hangs in it, or exhausts its
memory is refused with the reason, and the process is replaced; other pictures are not affected. A
process that has decoded pictures before may have been damaged by them, so its failure proves
nothing: such a picture is tried once more in a fresh process.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from models.images.files import Decoded
from workers.config.sections import IntakeSettings
from workers.errors import DecoderError, PictureRefused
from workers.intake.decoder_process import COMMAND, DecoderDied, DecoderProcess

CLOSED = "the decoders are closed"


class DecoderPool:
    """The pool: at most `settings.decoders` processes, started when the first pictures come.

    Close it, or leave it to `workers.intake.fetch.open_fetcher`. The processes also end when this
    one does, however it does. `command` starts one (tests start faulty ones).
    """

    def __init__(self, settings: IntakeSettings, command: Sequence[str] = COMMAND) -> None:
        self._settings = settings
        self._command = command
        # The threads wait for the processes. They live as long as the pool does, and so do those:
        # the kernel ends a process together with the thread that started it (stream.child_process).
        self._threads = ThreadPoolExecutor(settings.decoders, thread_name_prefix="decoder")
        self._idle: deque[DecoderProcess] = deque()
        self._all: set[DecoderProcess] = set()
        self._lock = Lock()
        self._closed = False

    @property
    def pids(self) -> set[int]:
        """The process ids of the decoders that run."""
        with self._lock:
            return {process.pid for process in self._all}

    async def decode(self, data: bytes) -> Decoded:
        """The picture in `data`, see `models.images.decode.read_pixels`.

        Raises:
            PictureRefused: no picture, damaged, over a limit, or it crashed its decoder.
            DecoderError: no decoder process is available; the picture is not to blame.
        """
        waiting = asyncio.get_running_loop()
        return await waiting.run_in_executor(self._threads, self._decode, data)

    def close(self) -> None:
        """End all processes; what is being decoded ends with DecoderError."""
        with self._lock:
            self._closed = True
            processes = list(self._all)
        for process in processes:
            process.interrupt()
        self._threads.shutdown(cancel_futures=True)
        for process in processes:
            process.kill()

    def _decode(self, data: bytes) -> Decoded:
        process = self._idle_one() or self._new_one()
        suspect = process.served > 0
        try:
            return self._decode_in(process, data)
        except DecoderDied as error:
            if not suspect:
                raise PictureRefused(f"the picture can't be decoded: {error}") from error
        try:
            return self._decode_in(self._new_one(), data)
        except DecoderDied as error:
            raise PictureRefused(f"the picture can't be decoded: {error}") from error

    def _decode_in(self, process: DecoderProcess, data: bytes) -> Decoded:
        try:
            picture = process.decode(data)
        except DecoderDied:
            with self._lock:
                self._all.discard(process)
            if self._closed:
                raise DecoderError(CLOSED) from None
            raise
        except PictureRefused:
            self._idle.append(process)
            raise
        self._idle.append(process)
        return picture

    def _idle_one(self) -> DecoderProcess | None:
        """The decoder that was busy last, still alive."""
        while True:
            try:
                process = self._idle.pop()
            except IndexError:
                return None
            if process.alive:
                return process
            process.kill()
            with self._lock:
                self._all.discard(process)

    def _new_one(self) -> DecoderProcess:
        process = DecoderProcess(self._settings, self._command)
        with self._lock:
            if not self._closed:
                self._all.add(process)
                return process
        process.kill()
        raise DecoderError(CLOSED)
