"""Fetching and decoding: what gets in, what is refused and in which words."""

import base64
import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from models.images.decode import LARGEST_RATIO, SMALLEST_SIDE, WORKING_SIDE
from models.images.letterbox import MIN_SIDE, check_picture
from tests.hostile.not_images import MAGIC
from workers.config.sections import IntakeSettings
from workers.errors import FetchError, PictureRefused
from workers.intake.decode import decode_picture
from workers.intake.fetch import open_fetcher

MAX_PIXELS = 1_000_000


def picture_bytes(kind: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (40, 20)) -> bytes:
    out = io.BytesIO()
    colour: int | tuple[int, ...] = {"L": 128, "P": 3, "I;16": 32768, "1": 1}.get(mode) or tuple(
        [200, 100, 50, 128][: len(mode)]
    )
    Image.new(mode, size, colour).save(out, kind)
    return out.getvalue()


async def fetch(reference: str, **limits: object) -> bytes:
    async with open_fetcher(IntakeSettings.model_validate(limits)) as fetcher:
        return await fetcher.fetch(reference)


class Shop(BaseHTTPRequestHandler):
    """A shop's image server: each path misbehaves in its own way."""

    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.path)
        if self.path == "/flaky" and self.seen.count("/flaky") < 3:
            self.send_error(503)
        elif self.path == "/gone":
            self.send_error(404)
        elif self.path == "/loop":
            self.send_response(302)
            self.send_header("Location", "/loop")
            self.end_headers()
        else:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(picture_bytes())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def shop() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("FreshShop", (Shop,), {"seen": []}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


async def test_data_uri_is_its_own_bytes() -> None:
    uri = "data:image/png;base64," + base64.b64encode(b"abc").decode()
    assert await fetch(uri) == b"abc"
    assert await fetch("data:,a%20b") == b"a b"


@settings(max_examples=30)
@given(st.binary(min_size=1, max_size=400), st.integers(3, 40))
async def test_percent_encoding_is_undone_wherever_it_is_cut(data: bytes, piece: int) -> None:
    encoded = "".join(f"%{byte:02X}" if byte % 3 else chr(byte % 128) for byte in data)
    expected = unquote_to_bytes(encoded)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workers.intake.fetch.PIECE", piece)
        assert await fetch("data:," + encoded) == expected


@settings(max_examples=60)
@given(
    st.text(max_size=60)
    | st.builds("{}:{}".format, st.sampled_from(["data", "s3", "file", "ftp"]), st.text())
    | st.builds("{}://{}".format, st.sampled_from(["s3", "file", "x"]), st.text())
)
async def test_whatever_the_reference_it_is_bytes_or_a_refusal(reference: str) -> None:
    try:
        data = await fetch(reference)
    except FetchError:
        return
    assert reference.lower().startswith("data:")
    assert data


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("data:image/png;base64,@@", "not valid base64"),
        ("data:nothing", "no comma"),
        ("data:,", "is empty"),
        ("ftp://shop/x.jpg", "not a kind of picture reference"),
        ("gopher://shop/x.jpg", "not a kind of picture reference"),
        ("http://", "not an http"),
        ("/etc/hostname", "intake.roots"),
        ("bad\0name", "can't be read"),
    ],
)
async def test_unusable_references_say_what_is_wrong(reference: str, words: str) -> None:
    with pytest.raises(FetchError, match=words):
        await fetch(reference)


async def test_files_only_under_an_allowed_root(tmp_path: Path) -> None:
    root, outside = tmp_path / "shop", tmp_path / "secret.png"
    root.mkdir()
    outside.write_bytes(b"secret")
    (root / "a.png").write_bytes(b"picture")
    (root / "link.png").symlink_to(outside)
    assert await fetch(str(root / "a.png"), roots=[root]) == b"picture"
    assert await fetch(f"file://{root}/a.png", roots=[root]) == b"picture"
    assert await fetch(f"file://localhost{root}/%61.png", roots=[root]) == b"picture"
    for sneaky in (outside, root / "link.png", root / ".." / "secret.png"):
        with pytest.raises(FetchError, match=r"outside the folders that intake\.roots allows"):
            await fetch(str(sneaky), roots=[root])
    with pytest.raises(FetchError, match=r"outside .* intake.roots allows \(none are set\)"):
        await fetch(str(root / "a.png"))


async def test_a_large_file_is_refused_by_its_size(tmp_path: Path) -> None:
    (tmp_path / "big.png").write_bytes(bytes(1001))
    with pytest.raises(FetchError, match=r"larger than 0\.001 MB"):
        await fetch(str(tmp_path / "big.png"), roots=[tmp_path], max_bytes=1000)


async def test_downloads_with_retries(shop: str) -> None:
    assert await fetch(f"{shop}/a.png", allow_private_addresses=True) == picture_bytes()
    assert await fetch(f"{shop}/flaky", allow_private_addresses=True) == picture_bytes()


@pytest.mark.parametrize(
    ("path", "words"),
    [("/gone", "answered 404"), ("/loop", "redirects")],
)
async def test_a_bad_answer_is_an_error_at_once(shop: str, path: str, words: str) -> None:
    with pytest.raises(FetchError, match=words):
        await fetch(shop + path, allow_private_addresses=True)


async def test_a_download_over_the_limit_is_cut_off(shop: str) -> None:
    with pytest.raises(FetchError, match="larger than"):
        await fetch(f"{shop}/a.png", allow_private_addresses=True, max_bytes=10)


async def test_a_dead_server_is_given_up_after_the_attempts(shop: str) -> None:
    with pytest.raises(FetchError, match="tried 2 times"):
        await fetch("http://127.0.0.1:9/x", allow_private_addresses=True, attempts=2)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_every_format_becomes_rgb(kind: str) -> None:
    picture = decode_picture(picture_bytes(kind), MAX_PIXELS).picture
    assert picture.dtype == np.uint8
    assert picture.shape == (20, 40, 3)
    assert abs(picture[10, 20].astype(int) - [200, 100, 50]).max() < 30


@pytest.mark.parametrize(
    ("kind", "mode", "expected"),
    [
        ("PNG", "L", [128, 128, 128]),
        ("PNG", "1", [255, 255, 255]),
        ("PNG", "I;16", [127, 127, 127]),
        ("PNG", "RGBA", [227, 177, 152]),  # half transparent on white
        ("TIFF", "CMYK", [27, 77, 102]),
    ],
)
def test_every_colour_mode_becomes_rgb(kind: str, mode: str, expected: list[int]) -> None:
    picture = decode_picture(picture_bytes(kind, mode), MAX_PIXELS).picture
    assert abs(picture[10, 20].astype(int) - expected).max() <= 2


def test_exif_rotation_is_applied() -> None:
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90°
    Image.new("RGB", (40, 20)).save(out, "JPEG", exif=exif)
    assert decode_picture(out.getvalue(), MAX_PIXELS).picture.shape == (40, 20, 3)


def test_large_pictures_are_brought_down() -> None:
    picture = decode_picture(picture_bytes("JPEG", size=(3000, 1500)), 10_000_000).picture
    assert picture.shape == (512, 1024, 3)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"this is text", "no picture that can be read, but 12 bytes beginning 74 68"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", "no picture .*, but PostScript"),
        (b"<html>", "an HTML page"),
        (picture_bytes(size=(7, 40)), "nothing can be recognised below 8 pixels"),
        (picture_bytes(size=(900, 8)), "one side is over 100 times the other"),
        (picture_bytes(size=(400, 300))[:200], "damaged or truncated"),
        (
            picture_bytes("JPEG", size=(400, 300))[:900],
            "only the first 16 % of its rows",
        ),
        (picture_bytes("WEBP", size=(400, 300))[:60], "damaged or truncated|no picture"),
        (picture_bytes(size=(1001, 1000)), "more than 1 million"),
    ],
)
def test_bad_pictures_are_refused_with_the_reason(data: bytes, words: str) -> None:
    with pytest.raises(PictureRefused, match=words):
        decode_picture(data, MAX_PIXELS)


@given(st.binary(max_size=300), st.sampled_from(list(MAGIC.values())))
def test_any_bytes_are_a_picture_or_refused(data: bytes, magic: bytes) -> None:
    for one in (data, magic + data):
        try:
            picture = decode_picture(one, MAX_PIXELS).picture
        except PictureRefused:
            continue
        check_picture(picture)


def test_what_comes_out_is_never_too_small_for_the_models() -> None:
    """The longest, narrowest picture that is accepted is one that the backbone accepts."""
    picture = decode_picture(picture_bytes("PNG", size=(5000, 50)), MAX_PIXELS).picture
    assert picture.shape == (10, 1024, 3)
    check_picture(picture)
    assert SMALLEST_SIDE >= MIN_SIDE
    assert WORKING_SIDE // LARGEST_RATIO >= MIN_SIDE


def test_large_grey_pictures_of_16_bits_are_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 3000 * 2400).reshape(2400, 3000).astype(np.uint16)
    out = io.BytesIO()
    Image.fromarray(ramp).save(out, "PNG")
    picture = decode_picture(out.getvalue(), 10_000_000).picture
    assert picture.shape == (819, 1024, 3)
    assert abs(picture[[0, 409, -1], 512, 0].astype(int) - [0, 127, 255]).max() <= 1
