"""Colours come out as the picture's profile says, and a bad profile changes nothing."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms

from models.images.decode import read_pixels
from models.images.files import Decoded, open_picture
from models.images.icc_profile import MAX_BYTES
from tests.doubles import icc_profiles as icc

MAX_PIXELS = 1_000_000
SPACES = {
    "Adobe RGB": (icc.ADOBE_RGB, icc.ADOBE_GAMMA),
    "ProPhoto": (icc.PROPHOTO, icc.PROPHOTO_GAMMA),
}
LOSSLESS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "TIFF": {},
    "WEBP": {"lossless": True},
    "JPEG": {"quality": 100, "subsampling": 0},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
}


def saved(pixels: NDArray[np.uint8], kind: str = "PNG", mode: str = "RGB", **options: Any) -> bytes:
    out = io.BytesIO()
    image = (
        Image.fromarray(pixels)
        if mode != "CMYK"
        else Image.frombytes("CMYK", pixels.shape[1::-1], pixels.tobytes())
    )
    image.save(out, kind, **LOSSLESS[kind], **options)
    return out.getvalue()


def decoded(data: bytes) -> NDArray[np.uint8]:
    return Decoded.of(read_pixels(data, MAX_PIXELS)).picture


def tiles(seed: int = 0, channels: int = 3) -> NDArray[np.uint8]:
    """A picture of 64 colours in tiles of 16 × 16, which also JPEG keeps."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 256, (8, 8, channels), np.uint8)
    return np.ascontiguousarray(colours.repeat(16, axis=0).repeat(16, axis=1))


@pytest.mark.parametrize("kind", LOSSLESS)
@pytest.mark.parametrize("space", SPACES)
def test_colours_are_those_of_the_formula(space: str, kind: str) -> None:
    primaries, gamma = SPACES[space]
    pixels = tiles()
    found = decoded(saved(pixels, kind, icc_profile=icc.rgb_profile(primaries, gamma)))
    error = np.abs(found - icc.by_formula(pixels, primaries, gamma)).mean()
    assert error < 1
    # Without the profile they would be far off.
    assert np.abs(pixels - icc.by_formula(pixels, primaries, gamma)).mean() > 4


@pytest.mark.parametrize("space", SPACES)
def test_one_picture_in_two_colour_spaces_is_one_picture(space: str, tmp_path: Path) -> None:
    primaries, gamma = SPACES[space]
    srgb = tiles(1)
    path = tmp_path / "photo.png"
    other = icc.in_profile(srgb, primaries, gamma)
    path.write_bytes(saved(other, icc_profile=icc.rgb_profile(primaries, gamma)))
    found = open_picture(path).astype(int)
    assert np.abs(found - srgb).mean() < 1
    assert np.abs(other.astype(int) - srgb).mean() > 4


def test_greys_have_their_gamma() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16).repeat(8, 0).repeat(8, 1)
    found = decoded(saved(ramp, icc_profile=icc.grey_profile(1.0)))
    expected = icc.xyz_to_srgb((ramp / 255.0)[..., None] * icc.WHITE)
    assert np.abs(found - expected).mean() < 1


def corners() -> list[tuple[float, float, float]]:
    """Lab of the 16 corners; cyan is a printer's, not the full cyan of a screen."""
    found = [(0.0, 0.0, 0.0)] * 16
    found[0b0000] = (100, 0, 0)
    found[0b1000] = (55, -37, -50)
    found[0b0100] = (48, 74, -3)
    found[0b0010] = (89, -5, 93)
    found[0b0110] = (47, 68, 48)
    return found


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_ink_is_what_its_profile_says(kind: str) -> None:
    """Pillow writes CMYK in JPEG inverted, as Adobe does, and reads it so."""
    lab = corners()
    for corner, colour in enumerate(lab):
        if colour == (0, 0, 0) and corner != 0b1111:
            continue
        ink = [255 if corner >> bit & 1 else 0 for bit in (3, 2, 1, 0)]
        pixels = np.full((16, 16, 4), ink, np.uint8)
        plain = decoded(saved(pixels, kind, mode="CMYK"))[8, 8]
        assert np.abs(plain - (255 - np.array(ink[:3])) * (1 - ink[3] / 255)).max() <= 2
        found = decoded(saved(pixels, kind, mode="CMYK", icc_profile=icc.cmyk_profile(lab)))
        assert np.abs(found[8, 8] - icc.lab_to_srgb(colour)).max() <= 3


@pytest.mark.parametrize("kind", LOSSLESS)
def test_srgb_keeps_every_bit(kind: str) -> None:
    built_in = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    noise = np.random.default_rng(2).integers(0, 256, (40, 60, 3), np.uint8)
    plain = decoded(saved(noise, kind))
    for profile in (icc.srgb_profile(), built_in):
        assert np.array_equal(decoded(saved(noise, kind, icc_profile=profile)), plain)


def test_transparent_stays_white() -> None:
    pixels = np.dstack([tiles(3), np.zeros((128, 128), np.uint8)])
    found = decoded(saved(pixels, icc_profile=icc.rgb_profile(*SPACES["ProPhoto"])))
    assert (found == 255).all()


def test_a_large_picture_is_converted_once_it_is_small() -> None:
    pixels = np.full((2500, 3000, 3), (200, 100, 50), np.uint8)
    primaries, gamma = SPACES["Adobe RGB"]
    data = saved(pixels, icc_profile=icc.rgb_profile(primaries, gamma))
    found = Decoded.of(read_pixels(data, 10_000_000)).picture
    assert found.shape == (853, 1024, 3)
    assert np.abs(found - icc.by_formula(pixels[:1, :1], primaries, gamma)).max() < 2


ADOBE = icc.rgb_profile(*SPACES["Adobe RGB"])
IGNORED = {
    "not a profile": b"no profile" * 50,
    "ends in its header": ADOBE[:100],
    "ends in its tags": ADOBE[:200],
    "has no tags": icc.profile(b"RGB ", {}),
    "of greys": icc.grey_profile(1.0),
    "of CMYK": icc.cmyk_profile(corners()),
    "a device link": ADOBE[:12] + b"link" + ADOBE[16:],
    "named colours": ADOBE[:12] + b"nmcl" + ADOBE[16:],
    "too large": ADOBE + bytes(MAX_BYTES),
}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("why", IGNORED)
def test_a_profile_that_does_not_fit_is_ignored(why: str, kind: str) -> None:
    pixels = tiles(4)
    found = decoded(saved(pixels, kind, icc_profile=IGNORED[why]))
    assert np.array_equal(found, decoded(saved(pixels, kind)))


def test_greys_with_a_profile_of_colours_stay() -> None:
    grey = tiles(5)[..., 0].copy()
    assert np.array_equal(decoded(saved(grey, icc_profile=ADOBE)), decoded(saved(grey)))


@settings(max_examples=150)
@given(
    st.sampled_from([ADOBE, icc.grey_profile(2.2), icc.cmyk_profile(corners())]),
    st.lists(st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=8)), max_size=6),
    st.integers(0, 3000),
)
def test_no_profile_fails_its_picture(
    profile: bytes, damage: list[tuple[int, bytes]], length: int
) -> None:
    broken = bytearray(profile)
    for at, other in damage:
        broken[at % len(broken) : at % len(broken) + len(other)] = other
    channels = {b"GRAY": 1, b"CMYK": 4}.get(profile[16:20], 3)
    pixels = tiles(6, channels).squeeze()[:16, :16].copy()
    mode, kind = ("CMYK", "TIFF") if channels == 4 else ("RGB", "PNG")
    data = saved(pixels, kind, mode=mode, icc_profile=bytes(broken[:length]))
    assert decoded(data).shape == (16, 16, 3)
