"""The set-ups of intake that hostile inputs are sent to, and a port that nobody may connect to.

`default` is intake as it is configured by default. `loopback` may also ask 127.0.0.1, where the
hostile server is, and has short time limits. `faulty_decoders` has decoder processes with bugs
(`tests.hostile.faulty_decoder`).
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace

from tests.hostile import addresses, faulty_decoder
from workers.config.sections import IntakeSettings
from workers.intake.decoder_pool import DecoderPool
from workers.intake.fetch import Fetcher, open_fetcher

DEFAULT = IntakeSettings()
LOOPBACK = IntakeSettings.model_validate(
    {"allowed_networks": ["127.0.0.1/32"], "timeout_s": 1.0, "total_s": 3.0, "attempts": 2}
)
FAULTY_DECODERS = IntakeSettings(decode_s=1.0, decoder_mb=200)


@asynccontextmanager
async def open_intakes() -> AsyncIterator[dict[str, Fetcher]]:
    """The three set-ups, by name."""
    async with AsyncExitStack() as stack:
        default = await stack.enter_async_context(open_fetcher(DEFAULT, addresses.lookup))
        loopback = await stack.enter_async_context(open_fetcher(LOOPBACK, RebindingResolver()))
        decoders = DecoderPool(FAULTY_DECODERS, faulty_decoder.COMMAND)
        stack.callback(decoders.close)
        yield {
            "default": default,
            "loopback": loopback,
            "faulty_decoders": replace(default, decoders=decoders),
        }


class RebindingResolver:
    """DNS rebinding: rebound.test has an allowed address when asked first, and then another."""

    def __init__(self) -> None:
        self.requests = 0

    async def __call__(self, host: str, port: int) -> list[str]:
        """The addresses of a host."""
        if host != "rebound.test":
            return await addresses.lookup(host, port)
        self.requests += 1
        return ["127.0.0.1" if self.requests == 1 else "127.0.0.2"]


@contextmanager
def forbidden_port() -> Iterator[tuple[int, list[str]]]:
    """A port of 127.0.0.1 that nobody may connect to, and the list of who did."""
    connections: list[str] = []
    stopping = threading.Event()

    def listen(listener: socket.socket) -> None:
        while not stopping.is_set():
            with contextlib.suppress(TimeoutError):
                connection, where = listener.accept()
                connection.close()
                connections.append(str(where))

    with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
        listener.settimeout(0.1)
        thread = threading.Thread(target=listen, args=[listener], daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1], connections
        finally:
            stopping.set()
            thread.join()
