"""Matrices in a byte a value, and directions in half a byte."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from models.arrays import Floats, unit
from models.errors import JuiceError
from models.juicer.packed_matrix import PackedMatrix, turn

SHAPES = st.tuples(st.integers(1, 17), st.integers(1, 65))
MATRICES = arrays.arrays(np.float32, SHAPES, elements=st.floats(-1e3, 1e3, width=32))


@given(MATRICES)
def test_packing_is_off_by_half_a_step_at_most(matrix: Floats) -> None:
    packed = PackedMatrix.pack(matrix)
    assert packed.unpack().shape == matrix.shape
    assert np.abs(packed.unpack() - matrix).max() <= packed.scale * 0.501


@pytest.mark.parametrize("width", [1, 2, 3, 8, 48, 64, 65])
def test_directions_take_half_a_byte_and_stay_near(width: int) -> None:
    rows = np.random.default_rng(width).normal(size=(17, width)).astype(np.float32)
    packed = PackedMatrix.pack_directions(rows)
    assert len(packed.values) == -(-17 * width // 2)
    assert (packed.unpack() * unit(rows)).sum(axis=1).min() > 0.98


def test_what_rows_have_in_common_does_not_take_the_levels_of_the_rest() -> None:
    rng = np.random.default_rng(0)
    common = 5 * np.eye(64, dtype=np.float32)[0]
    rows = unit(common + rng.normal(size=(200, 64)).astype(np.float32))
    read = PackedMatrix.pack_directions(rows).unpack()
    rest = unit(rows[:, 1:]) * unit(read[:, 1:])
    assert rest.sum(axis=1).mean() > 0.97


def test_a_row_of_zeros_stays_one() -> None:
    rows = np.array([[0, 0, 0], [1, 2, 3]], np.float32)
    read = PackedMatrix.pack_directions(rows).unpack()
    assert read[0].tolist() == [0, 0, 0]
    assert np.linalg.norm(read[1]) == pytest.approx(1)


@pytest.mark.parametrize("width", [1, 5, 64])
def test_turning_keeps_cosines(width: int) -> None:
    assert np.allclose(turn(width).T @ turn(width), np.eye(width), atol=1e-5)


@pytest.mark.parametrize("bits", [4, 8])
def test_a_matrix_that_lacks_bytes_is_refused(bits: int) -> None:
    with pytest.raises(JuiceError, match="do not fill"):
        PackedMatrix((2, 3), 1.0, b"12345" if bits == 8 else b"12", bits).unpack()  # type: ignore[arg-type]
