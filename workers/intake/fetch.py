"""A picture reference becomes bytes: `data:` URI, http(s) or s3 URL, or a file under a root.

References come from elsewhere and are not trusted: the outcome is bytes within the limits, or a
FetchError with the reason.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from models.images.files import Decoded
from workers.config.sections import IntakeSettings
from workers.deploy.telemetry import PICTURES, TRUNCATED
from workers.errors import FetchError
from workers.intake.decoder_pool import DecoderPool
from workers.intake.download import NO_VALIDATORS, Download, Validators
from workers.intake.http import HttpFetcher, open_http
from workers.intake.limits import check_bytes, too_large
from workers.intake.local_file import read_file
from workers.intake.reasons import scheme_of
from workers.intake.s3 import ObjectStorage
from workers.intake.ssrf_guard import Resolve, redacted, resolve

PIECE = 1 << 16


@dataclass(frozen=True)
class Fetcher:
    """Fetches and decodes pictures within the limits of `settings`; made by `open_fetcher`."""

    settings: IntakeSettings
    http: HttpFetcher
    storage: ObjectStorage
    decoders: DecoderPool

    async def fetch(self, reference: str) -> bytes:
        """The bytes behind `reference`, at most `settings.max_bytes` of them.

        Raises:
            FetchError: not there, not allowed, too large, or still failing after
                `settings.attempts` tries or `settings.total_s` seconds.
        """
        download = await self.fetch_changed(reference, NO_VALIDATORS)
        if download.data is None:
            raise FetchError(f"{redacted(reference)} was not sent, though we have no copy of it")
        return download.data

    async def fetch_changed(self, reference: str, known: Validators) -> Download:
        """The same, but no bytes if the picture is still the one that had these validators.

        Raises:
            FetchError: as `fetch`.
        """
        match scheme := scheme_of(reference):
            case "data":
                limit = self.settings.max_bytes
                return Download(await asyncio.to_thread(_from_data_uri, reference, limit))
            case "http" | "https":
                return await _counted(self.http.get(reference, known))
            case "s3":
                return await _counted(self.storage.get(reference, known))
            case "file":
                return Download(await asyncio.to_thread(read_file, reference, self.settings))
        raise FetchError(
            f"{redacted(scheme)}:// is not a kind of picture reference that can be read; "
            "use http(s)://, s3://, a file path, or a data: URI"
        )

    async def decode(self, data: bytes) -> Decoded:
        """The picture in `data`, decoded in a process of its own.

        Raises:
            PictureRefused: no picture, damaged, over a limit, or it crashed its decoder.
            DecoderError: no decoder process is available; the picture is not to blame.
        """
        decoded = await self.decoders.decode(data)
        TRUNCATED.inc(decoded.truncated)
        return decoded


@asynccontextmanager
async def open_fetcher(
    settings: IntakeSettings, lookup: Resolve = resolve
) -> AsyncIterator[Fetcher]:
    """A Fetcher whose connections and decoder processes end with the block.

    `lookup` resolves host names.
    """
    async with open_http(settings, lookup) as http:
        decoders = DecoderPool(settings)
        try:
            yield Fetcher(settings, http, ObjectStorage(settings), decoders)
        finally:
            await asyncio.to_thread(decoders.close)


async def _counted(downloading: Awaitable[Download]) -> Download:
    """A download, counted by its outcome."""
    outcome = "failed"
    try:
        download = await downloading
        outcome = "not_modified" if download.data is None else "downloaded"
        return download
    finally:
        PICTURES.labels(outcome).inc()


def _from_data_uri(uri: str, limit: int) -> bytes:
    what = "the data: URI"
    head, comma, body = uri[5:].partition(",")
    if not comma:
        raise FetchError(f"{what} has no comma, so no data")
    # Neither %XX nor base64 is shorter than this: checked before decoding.
    if len(body) > 3 * limit + 4:
        raise too_large(what, limit)
    try:
        raw = _unquoted(body.encode())
        if head.lower().endswith(";base64"):
            raw = base64.b64decode(raw, validate=True)
    except binascii.Error as error:
        raise FetchError(f"{what} is not valid base64: {error}") from error
    except UnicodeError as error:
        raise FetchError(f"{what} is not text: {error}") from error
    return check_bytes(raw, what, limit)


def _unquoted(body: bytes) -> bytes:
    """%XX decoded in chunks: at once, Python makes an object of each, 200 bytes for three."""
    if b"%" not in body:
        return body
    out, at = bytearray(), 0
    while at < len(body):
        end = at + PIECE
        end -= next((back for back in (1, 2) if body[end - back : end - back + 1] == b"%"), 0)
        out += unquote_to_bytes(body[at:end])
        at = end
    return bytes(out)
