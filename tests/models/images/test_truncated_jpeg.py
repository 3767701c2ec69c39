"""JPEGs that lack their last bytes: taken and marked, or refused with how much is there."""

import io
import logging
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageFilter

from models.errors import PictureError
from models.images.decode import read_pixels
from models.images.files import Decoded, open_picture

SIZE = (400, 320)
OPTIONS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restart markers": {"restart_marker_rows": 1},
    "not subsampled": {"subsampling": 0},
}
SENTENCE = (
    r"is truncated: only the first \d+ % of its rows are there"
    r"|is truncated: only a coarse version of it is there"
)


@cache
def jpeg(options: str = "baseline", mode: str = "RGB", size: tuple[int, int] = SIZE) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    out = io.BytesIO()
    image = Image.fromarray(noise).filter(ImageFilter.BoxBlur(2)).convert(mode)
    image.save(out, "JPEG", quality=90, **OPTIONS[options])
    return out.getvalue()


def decoded(data: bytes) -> Decoded:
    return Decoded.of(read_pixels(data, 10_000_000))


def decoded_or_reason(data: bytes) -> Decoded | str:
    try:
        return decoded(data)
    except PictureError as error:
        return str(error)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", OPTIONS)
def test_only_the_end_marker_is_missing(options: str, mode: str) -> None:
    whole = jpeg(options, mode)
    assert not decoded(whole).truncated
    for missing in (1, 2):
        found = decoded(whole[:-missing])
        assert found.truncated
        assert np.array_equal(found.picture, decoded(whole).picture)


@settings(max_examples=200)
@given(st.sampled_from(list(OPTIONS)), st.sampled_from(["RGB", "L", "CMYK"]), st.floats(0, 0.9999))
def test_cut_anywhere(options: str, mode: str, share: float) -> None:
    """What is taken is the top of the picture, and never less than nine tenths of it."""
    whole = jpeg(options, mode)
    found = decoded_or_reason(whole[: int(share * len(whole))])
    if isinstance(found, str):
        assert share < 0.1 or re.search(SENTENCE, found)
        return
    assert found.truncated
    height, width = found.picture.shape[:2]
    assert width == SIZE[0]
    assert 0.9 * SIZE[1] <= height <= SIZE[1]
    expected = decoded(whole).picture[: height - 48].astype(int)
    difference = np.abs(found.picture[: height - 48] - expected)
    assert difference.max() <= (0 if options != "progressive" else 80)  # 65 at worst
    assert difference.mean() < 4
    assert share > 0.5


@pytest.mark.parametrize(
    ("options", "share", "words"),
    [
        ("baseline", 0.4, r"only the first (39|4\d) % of its rows"),
        ("restart markers", 0.4, r"only the first (39|4\d) % of its rows"),
        ("baseline", 0.85, r"only the first 8\d % of its rows"),
        ("progressive", 0.3, "only a coarse version of it is there"),
    ],
)
def test_too_little_is_refused_with_how_much_there_is(
    options: str, share: float, words: str
) -> None:
    whole = jpeg(options)
    with pytest.raises(PictureError, match=words):
        decoded(whole[: int(share * len(whole))])


@pytest.mark.parametrize("options", OPTIONS)
def test_nearly_all_is_taken(options: str) -> None:
    whole = jpeg(options)
    assert decoded(whole[: int(0.95 * len(whole))]).truncated


def test_a_large_one_is_read_at_a_smaller_scale() -> None:
    whole = jpeg(size=(2600, 2200))
    found = decoded(whole[: int(0.95 * len(whole))])
    assert found.truncated
    height, width = found.picture.shape[:2]
    assert width == 1024
    assert 0.9 < height / width / (2200 / 2600) <= 1


def test_bytes_after_the_picture_are_no_matter() -> None:
    assert not decoded(jpeg() + b"\0" * 300).truncated
    assert not decoded(jpeg() + jpeg()[:500]).truncated


def test_pillows_option_for_the_whole_process_stays_as_it_is() -> None:
    decoded(jpeg()[:-2])
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_other_formats_are_refused_as_ever() -> None:
    for kind in ("PNG", "WEBP", "GIF", "TIFF"):
        out = io.BytesIO()
        Image.open(io.BytesIO(jpeg())).save(out, kind)
        with pytest.raises(PictureError, match="damaged or truncated"):
            decoded(out.getvalue()[: -len(out.getvalue()) // 20])


def test_a_file_is_named_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(jpeg()[:-2])
    with caplog.at_level(logging.WARNING):
        open_picture(path)
    assert f"{path} lacks its last bytes" in caplog.text
    path.write_bytes(jpeg()[:5000])
    with pytest.raises(PictureError, match=r"photo\.jpg cannot be opened .* truncated: only the"):
        open_picture(path)
