"""Principal axes, and rotations onto them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.arrays import Floats, unit
from models.embedding.pca import PrincipalAxes
from models.training.embedding.fit_pca import fit_principal_axes, fit_rotation, zero_padded

WIDTH = 8


def cloud(rows: int, seed: int, strengths: Floats | None = None) -> Floats:
    """Rows (n, 8) spread along fixed directions, some more than others."""
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(WIDTH, WIDTH)))
    strengths = 2.0 ** -np.arange(WIDTH) if strengths is None else strengths
    drawn: Floats = (rng.normal(size=(rows, WIDTH)) * strengths @ basis.T).astype(np.float32)
    return drawn


@given(seed=st.integers(0, 50), count=st.integers(1, 3), rows=st.integers(1, 30))
def test_a_rotation_keeps_all_cosines(seed: int, count: int, rows: int) -> None:
    sources = [cloud(rows, seed + number) for number in range(count)]
    rotation = fit_rotation(sources)
    assert np.allclose(rotation.T @ rotation, np.eye(WIDTH), atol=1e-5)
    queries, items = unit(cloud(5, seed + 10)), unit(cloud(6, seed + 20))
    rotated = unit(queries @ rotation) @ unit(items @ rotation).T
    assert np.allclose(rotated, queries @ items.T, atol=1e-5)


@given(seed=st.integers(0, 50))
def test_a_rotation_gathers_most_in_the_first_values(seed: int) -> None:
    rows = cloud(200, seed)
    kept = (rows @ fit_rotation([rows])) ** 2
    assert (np.diff(kept.sum(axis=0)) <= 1e-3).all()
    for width in (1, 2, 4):
        assert kept[:, :width].sum() >= (rows**2)[:, :width].sum() - 1e-3


def test_every_source_counts_the_same_however_many_rows_it_has() -> None:
    many, few = cloud(5000, 0), cloud(10, 1, 3 * np.eye(WIDTH)[-1] + 1e-6)
    first = (unit(few) @ fit_rotation([many, few]))[:, 0]
    assert (np.abs(first) > 0.99).all()
    assert (np.abs((unit(few) @ fit_rotation([np.concatenate([many, few])]))[:, 0]) < 0.5).all()


def test_the_same_rows_give_the_same_rotation_in_any_order() -> None:
    rows = cloud(40, 3)
    assert np.allclose(fit_rotation([rows]), fit_rotation([rows[::-1]]), atol=1e-4)


@pytest.mark.torch
def test_a_tower_rotates_its_identities() -> None:
    import torch

    from models.training.embedding.identity_tower import IdentityTower, ViewFeatures

    random = np.random.default_rng(0)
    identity = PrincipalAxes(
        random.normal(size=5).astype(np.float32), random.normal(size=(5, WIDTH)).astype(np.float32)
    )
    tower = IdentityTower(identity)
    nothing = np.zeros(0, np.float32)
    views = ViewFeatures(nothing, nothing, random.normal(size=(7, 5)).astype(np.float32))
    before = tower.encode(views).detach().numpy()
    rotation = fit_rotation([before])
    tower.rotate(rotation)
    assert torch.allclose(tower.encode(views), torch.from_numpy(before @ rotation), atol=1e-4)


def test_few_rows_span_few_axes_and_can_be_padded() -> None:
    axes = fit_principal_axes([cloud(3, 0)], WIDTH, None)
    assert axes.matrix.shape == (WIDTH, 3)
    wide = zero_padded(axes, WIDTH)(cloud(2, 1))
    assert wide.shape == (2, WIDTH)
    assert not wide[:, 3:].any()
