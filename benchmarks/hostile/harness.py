"""The doors that hostile inputs knock at: intake as it is configured, and a trap behind it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace

from benchmarks.hostile import addresses, bad_decoder
from workers.config.sections import IntakeSettings
from workers.intake.decoder_pool import Decoders
from workers.intake.fetch import Fetcher, open_fetcher

DEFAULT = IntakeSettings()
LOCAL = IntakeSettings.model_validate(
    {"allowed_networks": ["127.0.0.1/32"], "timeout_s": 1.0, "total_s": 3.0, "attempts": 2}
)
SABOTAGED = IntakeSettings(decode_s=1.0, decoder_mb=200)


@asynccontextmanager
async def doors() -> AsyncIterator[dict[str, Fetcher]]:
    """The three kinds of intake that cases name."""
    async with AsyncExitStack() as stack:
        opened = {
            "guarded": await stack.enter_async_context(open_fetcher(DEFAULT, addresses.lookup)),
            "local": await stack.enter_async_context(open_fetcher(LOCAL, Rebinding())),
        }
        bad = Decoders(SABOTAGED, bad_decoder.COMMAND)
        stack.callback(bad.close)
        yield {**opened, "sabotaged": replace(opened["guarded"], decoders=bad)}


class Rebinding:
    """A resolver for which rebound.test is at an allowed address when asked first, and then not."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, host: str, port: int) -> list[str]:
        """The addresses of a host."""
        if host != "rebound.test":
            return await addresses.lookup(host, port)
        self.asked += 1
        return ["127.0.0.1" if self.asked == 1 else "127.0.0.2"]


@contextmanager
def trap() -> Iterator[tuple[int, list[str]]]:
    """A port of 127.0.0.1 that nobody may connect to, and who did."""
    caught: list[str] = []
    stopping = threading.Event()

    def listen(listener: socket.socket) -> None:
        while not stopping.is_set():
            with contextlib.suppress(TimeoutError):
                connection, where = listener.accept()
                connection.close()
                caught.append(str(where))

    with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
        listener.settimeout(0.1)
        thread = threading.Thread(target=listen, args=[listener], daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1], caught
        finally:
            stopping.set()
            thread.join()
