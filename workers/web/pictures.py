"""Product pictures that lie in files, for browsers.

A result names such a picture by its path, which a browser cannot open. So an answer has a link
beside it, signed, and only pictures that were in an answer can be asked for.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import io

from PIL import Image

from workers.errors import IntakeError
from workers.intake.fetch import Fetcher
from workers.intake.reasons import scheme_of
from workers.web.problems import Problem

SIDE = 480
QUALITY = 85
SIGNATURE_BYTES = 16
PATH = "/picture/"


class Pictures:
    """Signs links to pictures in files, and shows what they name.

    Args:
        fetcher: reads files below `intake.roots`.
        secret: what links are signed with; workers that share it accept each other's.
    """

    def __init__(self, fetcher: Fetcher, secret: bytes) -> None:
        self._fetcher = fetcher
        self._secret = secret

    def link(self, reference: str | None) -> str | None:
        """What a browser can open in place of a reference; None for what it cannot have."""
        if reference is None:
            return None
        match scheme_of(reference):
            case "http" | "https":
                return reference
            case "file":
                name = base64.urlsafe_b64encode(self._sign(reference) + reference.encode())
                return PATH + name.decode()
        return None

    async def thumbnail(self, name: str) -> bytes:
        """The picture of a link, as a JPEG with a side of at most 480 px.

        Raises:
            Problem: the link is not one of ours, or there is no picture any more.
        """
        try:
            signed = base64.urlsafe_b64decode(name)
        except ValueError:
            signed = b""
        signature, reference = signed[:SIGNATURE_BYTES], signed[SIGNATURE_BYTES:]
        text = reference.decode(errors="replace")
        if not hmac.compare_digest(signature, self._sign(text)):
            raise Problem(404, "no_picture", "this link to a picture was not made here; ask again")
        try:
            decoded = await self._fetcher.decode(await self._fetcher.fetch(text))
        except IntakeError as error:
            raise Problem(404, "no_picture", "the picture cannot be read any more") from error
        return await asyncio.to_thread(_jpeg, Image.fromarray(decoded.picture))

    def _sign(self, reference: str) -> bytes:
        return hmac.digest(self._secret, reference.encode(), hashlib.sha256)[:SIGNATURE_BYTES]


def _jpeg(picture: Image.Image) -> bytes:
    picture.thumbnail((SIDE, SIDE))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()
