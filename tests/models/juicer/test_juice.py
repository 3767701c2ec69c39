import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from models.arrays import Floats, unit
from models.errors import JuiceError
from models.juicer.juice import MAX_BYTES, Juice
from models.juicer.packed_matrix import PackedMatrix

FLOATS = st.floats(-1e3, 1e3, width=32)
MATRICES = arrays.arrays(
    np.float32, st.tuples(st.integers(1, 17), st.integers(1, 64)), elements=FLOATS
)


def juice(tokens: Floats) -> Juice:
    return Juice(
        grid=(9, 9),
        kept=tuple(range(16)),
        saliency=bytes(range(81)),
        box=(0.1, 0.2, 0.8, 0.9),
        classes=(("banana", 0.97),),
        caption="Ripe fruit, featuring banana",
        token_matrix=PackedMatrix.pack_directions(tokens),
        colour_matrix=PackedMatrix.pack(np.full((1, 120), 0.1, np.float32)),
        text_matrix=PackedMatrix.pack(np.full((1, 384), -0.1, np.float32)),
    )


@given(MATRICES)
def test_what_is_written_is_read_back(tokens: Floats) -> None:
    written = juice(tokens)
    assert Juice.from_bytes(written.to_bytes()) == written


def test_stored_rows_have_length_one() -> None:
    read = juice(np.random.default_rng(0).normal(size=(17, 64)).astype(np.float32))
    assert np.allclose(np.linalg.norm(read.tokens, axis=1), 1, atol=1e-5)
    assert np.linalg.norm(read.colour) == pytest.approx(1, abs=1e-5)
    assert np.linalg.norm(read.text) == pytest.approx(1, abs=1e-5)


def test_full_juice_is_small() -> None:
    full = juice(np.random.default_rng(0).normal(size=(17, 64)).astype(np.float32))
    assert len(full.to_bytes()) < MAX_BYTES / 2


@pytest.mark.parametrize("text", ["Oat milk ", "牛奶", "🥛"])
def test_a_caption_is_cut_to_what_fits_beside_many_patches(text: str) -> None:
    many = msgspec.structs.replace(
        juice(np.ones((17, 64), np.float32)), saliency=bytes(37 * 37), caption=(text * 400)[:400]
    )
    fitting = many.cut_to_fit()
    assert len(fitting.to_bytes()) <= MAX_BYTES
    assert fitting.caption
    assert many.caption.startswith(fitting.caption)
    assert fitting.cut_to_fit() == fitting
    assert juice(np.ones((17, 64), np.float32)).cut_to_fit().caption.endswith("banana")


def test_juice_of_the_first_format_is_read() -> None:
    """Its matrices have no number of bits: they are of 8."""
    tokens = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    matrix = PackedMatrix.pack(tokens)
    first = {"format": 1, "token_matrix": [matrix.shape, matrix.scale, matrix.values]}
    read = Juice.from_bytes(msgspec.msgpack.encode(first))
    assert np.abs((read.tokens * unit(tokens)).sum(axis=1)).min() > 0.999


def test_empty_juice_has_neither_picture_nor_text() -> None:
    empty = Juice.from_bytes(Juice().to_bytes())
    assert not empty.has_picture
    assert empty.tokens.shape == (0, 0)
    assert empty.colour.shape == empty.text.shape == (0,)


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"juice", juice(np.eye(4, dtype=np.float32)).to_bytes()[:-3]]
)
def test_damaged_juice_is_refused(data: bytes) -> None:
    with pytest.raises(JuiceError, match="index the item again"):
        Juice.from_bytes(data)


def test_juice_of_another_format_is_refused() -> None:
    with pytest.raises(JuiceError):
        Juice.from_bytes(msgspec.msgpack.encode({"format": 3}))


def test_too_much_juice_is_refused() -> None:
    with pytest.raises(JuiceError, match="4096 are allowed"):
        Juice(caption="x" * 5000).to_bytes()
