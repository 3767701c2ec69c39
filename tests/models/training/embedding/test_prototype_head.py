import math

import pytest

from tests.needs import needs_torch

pytestmark = needs_torch()

import torch
from torch import Tensor
from torch.nn import functional

from models.errors import TrainingError
from models.training.embedding.losses import MarginSoftmax, arcface
from models.training.embedding.prototype_head import PrototypeHead, centroids_of_ids


def in_plane(*degrees: float) -> Tensor:
    """Unit vectors at angles in the plane, padded to four values."""
    radians = torch.deg2rad(torch.tensor(degrees))
    flat = torch.stack([torch.cos(radians), torch.sin(radians)], dim=1)
    return functional.pad(flat, (0, 2))


def test_rows_are_the_centroids() -> None:
    embeddings = torch.cat([5 * in_plane(10), in_plane(30), in_plane(100)])
    weight = centroids_of_ids(embeddings, torch.tensor([1, 1, 0]), 2)
    assert torch.allclose(weight.squeeze(1), in_plane(100, 20), atol=1e-6)


def test_cosines_are_those_of_each_prefix() -> None:
    head = PrototypeHead(torch.tensor([[[3.0, 4.0, 0.0]], [[0.0, 1.0, 1.0]]]))
    rows = torch.tensor([[2.0, 0.0, 7.0]])
    assert torch.allclose(head(rows, 2), torch.tensor([[0.6, 0.0]]))
    assert torch.allclose(head(rows, 2, torch.tensor([1])), torch.tensor([[0.0]]))


def test_the_nearest_sub_centre_counts() -> None:
    head = PrototypeHead(torch.stack([in_plane(0, 90), in_plane(180, 200)]))
    cosines = head(in_plane(80), 4)
    assert torch.allclose(cosines, torch.cos(torch.deg2rad(torch.tensor([[10.0, 100.0]]))))


def test_identify_is_arcface_at_every_prefix() -> None:
    head = PrototypeHead(torch.randn(6, 1, 8))
    rows, ids = torch.randn(5, 8), torch.tensor([0, 1, 2, 5, 5])
    softmax = MarginSoftmax(prefixes=(4, 8), weights=(0.2, 0.8))
    expected = 0.2 * arcface(head(rows, 4), ids, softmax) + 0.8 * arcface(
        head(rows, 8), ids, softmax
    )
    assert torch.allclose(head.identification_loss(rows, ids, softmax), expected)


def test_sub_centres_find_the_looks_of_an_id() -> None:
    appearances = in_plane(0, 4, 88, 92, 178, 182)
    weight = centroids_of_ids(appearances, torch.zeros(6, dtype=torch.long), 1, 3)[0]
    angles = torch.rad2deg(torch.atan2(weight[:, 1], weight[:, 0])).round().abs()
    assert sorted(angles.tolist()) == [2, 90, 180]


def test_an_id_with_fewer_samples_than_sub_centres_still_has_all() -> None:
    weight = centroids_of_ids(in_plane(0, 90), torch.tensor([0, 1]), 2, 3)
    assert torch.allclose(weight.norm(dim=2), torch.ones(2, 3))


def test_the_prototype_of_an_id_is_the_mean_of_its_sub_centres() -> None:
    head = PrototypeHead(torch.stack([in_plane(0, 60)]) * 3)
    assert math.isclose(float(head.prototypes()[0] @ in_plane(30)[0]), 1, abs_tol=1e-6)


def test_ids_that_do_not_number_the_rows_are_refused() -> None:
    with pytest.raises(TrainingError, match="without gaps"):
        centroids_of_ids(in_plane(0, 1), torch.tensor([0, 2]), 3)
    with pytest.raises(TrainingError, match="from 0 to 1"):
        centroids_of_ids(in_plane(0, 1), torch.tensor([0, 2]), 2)
    with pytest.raises(TrainingError, match=r"\(U, K, D\)"):
        PrototypeHead(torch.zeros(3, 4))
