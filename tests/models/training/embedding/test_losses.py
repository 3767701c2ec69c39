import math

import pytest

from tests.needs import needs_torch

pytestmark = needs_torch()

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from models.errors import TrainingError
from models.training.embedding.losses import (
    MarginSoftmax,
    add_angular_margin,
    arcface,
    info_nce,
    matryoshka_info_nce,
    weighted_prefixes,
)


def at_degrees(*degrees: float) -> Tensor:
    return torch.cos(torch.deg2rad(torch.tensor(degrees)))


def test_the_margin_is_added_to_the_angle() -> None:
    with_margin = add_angular_margin(at_degrees(0, 30, 60, 90), math.radians(30))
    assert torch.allclose(with_margin, at_degrees(30, 60, 90, 120), atol=2e-3)


def test_beyond_180_degrees_the_margin_still_lowers_the_cosine() -> None:
    angles = at_degrees(*range(0, 181, 5)).double()
    with_margin = add_angular_margin(angles, 0.5)
    assert (with_margin < angles).all()
    assert (with_margin.diff() < 0).all()


def test_arcface_of_hand_placed_angles() -> None:
    cosines = at_degrees(20, 70, 50)[None]
    loss = arcface(cosines, torch.tensor([0]), MarginSoftmax(10, math.radians(25)))
    own, *others = (math.exp(10 * math.cos(math.radians(d))) for d in (45, 70, 50))
    assert loss.item() == pytest.approx(-math.log(own / (own + sum(others))), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_without_margin_arcface_is_softmax(smoothing: float) -> None:
    cosines = torch.rand(5, 7) * 2 - 1
    targets = torch.tensor([0, 6, 3, 3, 1])
    plain = functional.cross_entropy(8 * cosines, targets, label_smoothing=smoothing)
    for weights in (None, torch.ones_like(cosines)):
        loss = arcface(cosines, targets, MarginSoftmax(8, 0, smoothing), weights)
        assert torch.allclose(loss, plain)


@pytest.mark.parametrize("times", [0, 1, 3])
def test_a_class_of_weight_w_counts_w_times(times: int) -> None:
    cosines = at_degrees(20, 70, 50)[None]
    weights = torch.tensor([[1.0, 1.0, times]])
    same_concept = torch.tensor([[True, False, True]])
    repeated = [0, 1, *[2] * times]
    softmax = MarginSoftmax(smoothing=0.1, concept_smoothing=0.2)
    assert torch.allclose(
        arcface(cosines, torch.tensor([0]), softmax, weights, same_concept),
        arcface(
            cosines[:, repeated], torch.tensor([0]), softmax, same_concept=same_concept[:, repeated]
        ),
    )


def test_concept_smoothing_moves_weight_to_classes_of_the_own_concept() -> None:
    cosines = at_degrees(20, 70, 50)[None]
    same_concept = torch.tensor([[True, True, False]])
    logits = 8 * cosines[0]
    expected = torch.logsumexp(logits, 0) - 0.8 * logits[0] - 0.2 * (logits[0] + logits[1]) / 2
    loss = arcface(
        cosines,
        torch.tensor([0]),
        MarginSoftmax(8, 0, concept_smoothing=0.2),
        same_concept=same_concept,
    )
    assert torch.allclose(loss, expected)
    alone = torch.tensor([[True, False, False]])
    assert torch.allclose(
        arcface(
            cosines,
            torch.tensor([0]),
            MarginSoftmax(8, 0, concept_smoothing=0.2),
            same_concept=alone,
        ),
        arcface(cosines, torch.tensor([0]), MarginSoftmax(8, 0)),
    )


def test_arcface_has_finite_slopes_where_a_row_lies_on_its_prototype() -> None:
    cosines = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], requires_grad=True)
    torch.autograd.backward(arcface(cosines, torch.tensor([0, 0]), MarginSoftmax()))
    assert cosines.grad is not None
    assert torch.isfinite(cosines.grad).all()


def numpy_info_nce(rows: np.ndarray, ids: np.ndarray, tau: float) -> float:
    """Term by term, as the docstring says it."""
    exps = np.exp(rows @ rows.T / tau)
    losses = []
    for i, one in enumerate(ids):
        negatives = exps[i, ids != one].sum()
        losses += [
            -np.log(exps[i, j] / (exps[i, j] + negatives))
            for j in range(len(ids))
            if j != i and ids[j] == one
        ]
    return float(np.mean(losses))


def unit_rows(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(count, 6, generator=generator), dim=1)


def test_info_nce_equals_the_formula() -> None:
    ids = torch.tensor([0, 1, 2, 0, 1, 1, 3])
    rows = unit_rows(7)
    expected = numpy_info_nce(rows.double().numpy(), ids.numpy(), 0.1)
    assert info_nce(rows, ids, temperature=0.1).item() == pytest.approx(expected, rel=1e-5)


@given(st.permutations(range(8)), st.integers(0, 100))
@settings(max_examples=20)
def test_the_order_of_a_batch_does_not_matter(order: list[int], seed: int) -> None:
    rows, ids = unit_rows(8, seed), torch.tensor([0, 1, 2, 3, 0, 1, 2, 3])
    loss = matryoshka_info_nce(rows, ids, prefixes=(2, 6))
    assert torch.allclose(
        matryoshka_info_nce(rows[order], ids[order], prefixes=(2, 6)), loss, atol=1e-6
    )


def test_prefixes_are_scaled_and_weighted_on_their_own() -> None:
    rows, ids = unit_rows(4), torch.tensor([0, 0, 1, 1])
    short = info_nce(functional.normalize(rows[:, :2], dim=1), ids)
    both = matryoshka_info_nce(3 * rows, ids, prefixes=(2, 6), weights=(0.25, 0.75))
    assert torch.allclose(both, 0.25 * short + 0.75 * info_nce(rows, ids))
    assert weighted_prefixes((2, 6)) == [(2, 0.5), (6, 0.5)]


def test_a_batch_without_pairs_is_refused() -> None:
    with pytest.raises(TrainingError, match="two views"):
        info_nce(unit_rows(3), torch.tensor([0, 1, 2]))


def test_prefixes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(TrainingError, match="prefix of 7"):
        matryoshka_info_nce(unit_rows(2), torch.tensor([0, 0]), prefixes=(7,))
    with pytest.raises(TrainingError, match="one weight for each"):
        weighted_prefixes((2, 6), (1.0,))
    with pytest.raises(TrainingError, match="at least one prefix"):
        weighted_prefixes(())
