"""Of an animation, the first frame that shows something, within bounds."""

import io
import struct
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from models.errors import PictureError
from models.images.decode import MOST_FRAMES, read_pixels

SIZE = (64, 48)
KINDS = ("GIF", "PNG", "WEBP", "AVIF")
HEADER = 33
"""Bytes at the beginning, which hold the size of the picture itself (of WebP, PNG and GIF)."""
WHITE = Image.new("RGBA", SIZE, (255, 255, 255, 255))
CLEAR = Image.new("RGBA", SIZE, (90, 20, 30, 0))
BLACK = Image.new("RGBA", SIZE, (0, 0, 0, 255))


def product() -> Image.Image:
    image = Image.new("RGBA", SIZE, (255, 255, 255, 255))
    image.paste((200, 100, 50, 255), (16, 12, 48, 36))
    return image


def animation(kind: str, frames: Sequence[Image.Image]) -> bytes:
    out = io.BytesIO()
    # Frames of the same colours would be merged: each has its own duration.
    durations = [100 + 10 * number for number in range(len(frames))]
    frames[0].save(
        out,
        kind,
        save_all=True,
        append_images=list(frames[1:]),
        duration=durations,
        **({"lossless": True} if kind == "WEBP" else {}),
        **({"disposal": 2} if kind == "GIF" else {}),
    )
    return out.getvalue()


def middle(data: bytes, max_pixels: int = 1_000_000) -> tuple[int, ...]:
    pixels = read_pixels(data, max_pixels)
    at = 3 * (pixels.width * (pixels.height // 2) + pixels.width // 2)
    return tuple(pixels.rgb[at : at + 3])


def shows_product(data: bytes, max_pixels: int = 1_000_000) -> bool:
    return bool(np.abs(np.array(middle(data, max_pixels)) - (200, 100, 50)).max() <= 12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "blank",
    [[WHITE], [CLEAR], [BLACK], [CLEAR, WHITE, BLACK]],
    ids=["white", "clear", "black", "all"],
)
def test_blank_frames_are_passed_over(kind: str, blank: list[Image.Image]) -> None:
    assert shows_product(animation(kind, [*blank, product(), BLACK]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_first_frame_that_shows_something_is_taken(kind: str) -> None:
    other = product().transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    other.paste((0, 0, 255, 255), (20, 20, 40, 30))
    assert shows_product(animation(kind, [product(), other]))


@pytest.mark.parametrize("kind", KINDS)
def test_where_none_shows_anything_the_first_is_taken(kind: str) -> None:
    assert middle(animation(kind, [BLACK, WHITE, BLACK]))[0] < 5


@pytest.mark.parametrize("kind", KINDS)
def test_no_more_frames_are_looked_at_than_the_bound(kind: str) -> None:
    blank = [BLACK, WHITE] * MOST_FRAMES
    assert shows_product(animation(kind, [*blank[: MOST_FRAMES - 1], product()]))
    assert middle(animation(kind, [*blank[:MOST_FRAMES], product()]))[0] < 5


@pytest.mark.parametrize("kind", KINDS)
def test_all_frames_together_are_within_the_limit_of_pixels(kind: str) -> None:
    data = animation(kind, [BLACK, WHITE, BLACK, product()])
    assert shows_product(data, 4 * SIZE[0] * SIZE[1])
    assert middle(data, 4 * SIZE[0] * SIZE[1] - 1)[0] < 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_blank_still_picture_stays(kind: str) -> None:
    out = io.BytesIO()
    BLACK.convert("RGB").save(out, kind)
    assert middle(out.getvalue())[0] < 5


def test_a_frame_larger_than_its_picture_is_not_decoded() -> None:
    data = bytearray(animation("GIF", [BLACK, product()]))
    frame = data.rindex(b",")
    while data[frame - 1] != 0 or data[frame + 1 : frame + 5] != b"\0\0\0\0":
        frame = data.rindex(b",", 0, frame)
    data[frame + 5 : frame + 9] = struct.pack("<HH", 60_000, 60_000)
    assert middle(bytes(data))[0] < 5


@settings(max_examples=150)
@given(st.sampled_from(KINDS), st.floats(0.1, 1), st.integers(0, 255), st.booleans())
def test_damage_later_on_costs_at_most_the_later_frames(
    kind: str, share: float, other: int, cut: bool
) -> None:
    """What can be read is a frame; what cannot has a reason."""
    data = bytearray(animation(kind, [WHITE, BLACK, product()]))
    at = max(HEADER, int(share * (len(data) - 1)))
    if cut:
        del data[at:]
    else:
        data[at] = other
    try:
        pixels = read_pixels(bytes(data), 1_000_000)
    except PictureError:
        return
    assert (pixels.width, pixels.height) == SIZE
