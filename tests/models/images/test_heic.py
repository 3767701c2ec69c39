"""HEIC: read with the extra, and a refusal that names the extra without."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from models.errors import PictureError, TooManyPixels
from models.images import heic
from models.images.decode import read_pixels
from models.images.file_type import sniff
from models.images.files import Decoded
from tests.doubles import icc_profiles as icc
from tests.hostile.pictures import ORANGE, heic_of
from tests.needs import needs_heic

MAX_PIXELS = 1_000_000
with_extra = needs_heic()


def decoded(data: bytes) -> Decoded:
    return Decoded.of(read_pixels(data, MAX_PIXELS))


@with_extra
def test_it_is_read() -> None:
    picture = decoded(heic_of(Image.new("RGB", (64, 48), ORANGE))).picture
    assert picture.shape == (48, 64, 3)
    assert np.abs(picture[24, 32].astype(int) - ORANGE).max() <= 3


@with_extra
def test_it_is_turned_once() -> None:
    left_red = Image.new("RGB", (64, 48), (0, 0, 255))
    left_red.paste((255, 0, 0), (0, 0, 32, 48))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = decoded(heic_of(left_red, exif=exif.tobytes())).picture
    assert picture.shape == (64, 48, 3)
    assert picture[8, 24, 0] > 200  # what was left is up
    assert picture[56, 24, 2] > 200


@with_extra
def test_its_profile_is_applied() -> None:
    pixels = np.full((48, 64, 3), (60, 180, 90), np.uint8)
    data = heic_of(
        Image.fromarray(pixels), icc_profile=icc.rgb_profile(icc.ADOBE_RGB, icc.ADOBE_GAMMA)
    )
    expected = icc.by_formula(pixels[0, 0], icc.ADOBE_RGB, icc.ADOBE_GAMMA)
    assert np.abs(expected - pixels[0, 0]).max() > 20
    assert np.abs(decoded(data).picture[24, 32] - expected).max() <= 4


@with_extra
def test_its_size_is_checked_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = heic_of(Image.new("RGB", (1001, 1000), ORANGE))

    def decode(self: object) -> None:
        raise AssertionError

    monkeypatch.setattr("pillow_heif.HeifImageFile.load", decode)
    with pytest.raises(TooManyPixels, match="1001 × 1000 pixels, more than 1 million"):
        decoded(data)


@with_extra
def test_a_header_that_claims_less_than_there_is() -> None:
    data = heic_of(Image.new("RGB", (320, 240), ORANGE))
    at = data.index(b"ispe") + 8
    with pytest.raises(PictureError):
        decoded(data[:at] + struct.pack(">II", 64, 48) + data[at + 8 :])


@with_extra
@settings(max_examples=100)
@given(st.floats(0, 0.999), st.integers(0, 255), st.booleans())
def test_damage_is_a_refusal_or_a_picture(share: float, other: int, cut: bool) -> None:
    data = bytearray(heic_of(Image.linear_gradient("L").resize((64, 48)).convert("RGB")))
    at = int(share * len(data))
    if cut:
        del data[at:]
    else:
        data[at] = other
    try:
        decoded(bytes(data))
    except PictureError:
        return


def test_without_the_extra_the_refusal_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heic, "pillow_heif", None)
    with pytest.raises(PictureError, match=r'HEIC.*pip install "lookstream\[heic\]"'):
        decoded(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(60))


@pytest.mark.parametrize(
    ("brands", "kind"),
    [
        (b"heic\0\0\0\0mif1heic", "HEIC"),
        (b"heix\0\0\0\0mif1heix", "HEIC"),
        (b"mif1\0\0\0\0mif1heic", "HEIC"),
        (b"mif1\0\0\0\0mif1miafheix", "HEIC"),
        (b"msf1\0\0\0\0mif1hevc", "HEIC"),
        (b"mif1\0\0\0\0mif1avif", "AVIF"),
        (b"avif\0\0\0\0avifmif1miaf", "AVIF"),
        (b"mif1\0\0\0\0mif1", "AVIF"),
        (b"isom\0\0\0\0mp42", None),
    ],
)
def test_the_brands_say_what_is_in_the_container(brands: bytes, kind: str | None) -> None:
    size = struct.pack(">I", 8 + len(brands))
    assert sniff(size + b"ftyp" + brands + b"\0\0\0\x20meta" + bytes(40)) == kind
