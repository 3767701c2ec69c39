"""The hosts of a shop's pictures: one that is quick, and one as shops have them.

The hostile one takes its time, holds some pictures back for seconds, has lost a few, and answers
429 to everything for a while when it is asked too often. Its pictures have an ETag or a time, and
it sends none that the client has.
"""

from __future__ import annotations

import io
import math
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from email.utils import formatdate
from zlib import crc32

from PIL import Image, ImageDraw

from benchmarks.shop.export import Product
from tests.servers.picture_host import PictureHost, Reply

EDGE = 128
NEW_YEAR = 1_798_761_600
"""When the pictures were made, in seconds since the epoch: 2027-01-01."""

REQUESTS_PER_S = 40
"""More than that within a second, and the host refuses all."""
REFUSES_S = (1, 2)
"""For how long, in turn; it says so in seconds or by a date."""
USUAL_S = (0.02, 0.10)
SLOW_S, SLOW_EVERY = 4.0, 80

LOST: tuple[Callable[[bytes], Reply], ...] = (
    lambda _body: Reply(status=404),
    lambda _body: Reply(b"<!doctype html><title>Not here</title>"),
    lambda body: Reply(body[: len(body) // 2]),
    lambda _body: Reply(status=500),
    lambda _body: Reply(hold=threading.Event()),  # never
)
"""What a host answers for a picture that it has lost."""


def draw(product: Product, view: int = 0) -> bytes:
    """A small JPEG: a shape in the product's colour, on a background of its own; no two alike."""
    rng = random.Random(f"{product.number}/{view}")
    colour, pattern, _kind = product.words.lower().split()[-3:]
    picture = Image.new("RGB", (EDGE, EDGE), tuple(rng.randrange(140, 256) for _ in range(3)))
    pen = ImageDraw.Draw(picture)
    box = [rng.randrange(8, 32), rng.randrange(8, 32), 104, rng.randrange(88, 120)]
    shape = pen.ellipse if product.number % 2 else pen.rectangle
    shape(box, fill=colour, outline="grey")
    for at in range(20, EDGE, 16) if pattern != "plain" else ():
        if pattern in ("striped", "checked"):
            pen.line([(at, box[1]), (at, box[3])], fill="grey", width=3)
        if pattern in ("dotted", "checked"):
            pen.line([(box[0], at), (box[2], at)], fill="silver", width=2)
    for _ in range(12):
        x, y = rng.randrange(EDGE), rng.randrange(EDGE)
        pen.ellipse([x, y, x + 6, y + 6], fill=tuple(rng.randrange(256) for _ in range(3)))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=85)
    return out.getvalue()


class ShopPictures(PictureHost):
    """Has the pictures of all products and answers at once.

    `downloads` counts by path how often a picture was sent whole.
    """

    def __init__(self, products: Iterable[Product]) -> None:
        super().__init__()
        self.downloads: Counter[str] = Counter()
        for product in products:
            for view, path in enumerate(product.pictures):
                self.has(path, draw(product, view), made=NEW_YEAR)

    def has(self, path: str, picture: bytes, made: int) -> None:
        """Have a picture under this path from now on; it was made at this time (seconds)."""
        if crc32(path.encode()) % 2:
            self.keep(path, picture)
        else:
            self.script(
                path, Reply(picture, headers={"Last-Modified": formatdate(made, usegmt=True)})
            )

    def reply_to(self, path: str, headers: dict[str, str]) -> Reply:
        """The picture, unless the client has it."""
        reply = super().reply_to(path, headers)
        if reply.status == 200:
            self.downloads[path] += 1
        return reply


class HostilePictures(ShopPictures):
    """Is slow, refuses who asks too often, and has lost some pictures."""

    def __init__(
        self,
        products: Iterable[Product],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        products = list(products)
        super().__init__(products)
        self._clock = clock
        self._sleep = sleep
        self._requests: deque[float] = deque(maxlen=REQUESTS_PER_S)
        self._refuses_until = float("-inf")
        self._refusals = 0
        self._pace = threading.Lock()
        self.lost = [one.pictures[0] for one in products if one.loses_picture]
        """Paths."""
        for number, path in enumerate(self.lost):
            body = self.replies[path][0].body
            self.script(path, LOST[number % len(LOST)](body))

    def reply_to(self, path: str, headers: dict[str, str]) -> Reply:
        """A refusal, or what there is, after a while."""
        if (refusal := self._refusal()) is not None:
            self.answers[refusal.status] += 1
            return refusal
        number = crc32(path.encode())
        least, most = USUAL_S
        usual = least + (most - least) * (number % 100) / 100
        self._sleep(SLOW_S if number % SLOW_EVERY == 0 else usual)
        return super().reply_to(path, headers)

    def _refusal(self) -> Reply | None:
        with self._pace:
            now = self._clock()
            often = len(self._requests) == REQUESTS_PER_S and now - self._requests[0] < 1
            if now > self._refuses_until and not often:
                self._requests.append(now)
                return None
            if now > self._refuses_until:
                self._requests.clear()
                self._refuses_until = now + REFUSES_S[self._refusals % len(REFUSES_S)]
                self._refusals += 1
            left = self._refuses_until - now
        whole = math.ceil(left)
        until = formatdate(time.time() + whole, usegmt=True)
        return Reply(
            status=429, headers={"Retry-After": str(whole) if self._refusals % 2 else until}
        )
