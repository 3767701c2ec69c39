import pytest

from tests.needs import needs_torch

pytestmark = needs_torch()

import torch
from torch import Tensor
from torch.nn import functional

from models.errors import TrainingError
from models.training.embedding.losses import MarginSoftmax
from models.training.embedding.prototype_head import PrototypeHead
from models.training.embedding.sparse_negatives import (
    SparseNegatives,
    Sparseness,
    nearest_prototypes,
)


def prototypes(count: int = 50, seed: int = 0) -> Tensor:
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(seed))


def selected(negatives: SparseNegatives, ids: Tensor) -> list[set[int]]:
    """The prototypes that count for each target."""
    columns, weights = negatives.select(ids)
    numbers = torch.arange(negatives.classes) if columns is None else columns
    return [set(numbers[row].tolist()) for row in weights > 0]


@pytest.mark.parametrize("block", [7, 50, 1024])
def test_the_graph_holds_the_true_nearest_whatever_the_block(block: int) -> None:
    rows = functional.normalize(prototypes(), dim=1)
    expected = (rows @ rows.T).argsort(dim=1, descending=True)[:, :6]
    graph = nearest_prototypes(rows, 6, block)
    assert torch.equal(graph[:, 0], torch.arange(50, dtype=torch.int32))
    assert torch.equal(graph.long(), expected)


def test_a_target_is_told_apart_from_its_nearest_and_itself() -> None:
    negatives = SparseNegatives(Sparseness(nearest=0.1, random=0), 50)
    negatives.refresh(prototypes())
    rows = functional.normalize(prototypes(), dim=1)
    for target, chosen in zip((3, 40), selected(negatives, torch.tensor([3, 40])), strict=True):
        nearest = (rows @ rows[target]).argsort(descending=True)[:5].tolist()
        assert chosen == set(nearest) | {target}


def test_random_prototypes_are_shared_by_the_batch_and_change_with_the_step() -> None:
    negatives = SparseNegatives(Sparseness(nearest=0.02, random=0.2), 50)
    negatives.refresh(prototypes())
    ids = torch.tensor([0, 1, 2])
    negatives.due(1)
    chosen = selected(negatives, ids)
    shared = set.intersection(*chosen)
    assert len(shared) == 10
    assert chosen == [shared | {target} for target in ids.tolist()]
    negatives.due(2)
    assert selected(negatives, ids) != chosen
    negatives.due(1)
    assert selected(negatives, ids) == chosen


@pytest.mark.parametrize("count", [2, 40])
def test_those_drawn_stand_for_all_that_are_not(count: int) -> None:
    """On average over the steps every prototype counts once, whether near or not."""
    negatives = SparseNegatives(Sparseness(nearest=0.1, random=0.1), 50)
    negatives.refresh(prototypes())
    ids, steps = torch.arange(count), 4000
    counted = torch.zeros(count, 50)
    for step in range(steps):
        negatives.due(step)
        columns, weights = negatives.select(ids)
        if columns is None:
            counted += weights
        else:
            counted[:, columns] += weights
    # One drawn counts as ten: the mean of so many steps is within five of its standard deviations.
    assert (counted / steps - 1).abs().max() < 5 * 3 / steps**0.5
    assert bool((counted.gather(1, ids[:, None]) == steps).all())


def test_a_share_of_one_is_the_full_softmax() -> None:
    head = PrototypeHead(prototypes()[:, None])
    negatives = SparseNegatives(Sparseness(nearest=1.0, random=0.0), 50)
    negatives.refresh(head.prototypes())
    features, ids = torch.randn(9, 8), torch.arange(9) * 5
    softmax = MarginSoftmax(prefixes=(4, 8), smoothing=0.1)
    full = head.identification_loss(features, ids, softmax)
    assert torch.allclose(head.identification_loss(features, ids, softmax, negatives), full)


def test_sparse_negatives_leave_the_rest_of_the_head_alone() -> None:
    head = PrototypeHead(prototypes()[:, None])
    negatives = SparseNegatives(Sparseness(nearest=0.1, random=0.0), 50)
    negatives.refresh(head.prototypes())
    ids = torch.tensor([7])
    loss = head.identification_loss(torch.randn(1, 8), ids, MarginSoftmax(prefixes=(8,)), negatives)
    torch.autograd.backward(loss)
    assert head.weight.grad is not None
    moved = set(head.weight.grad.abs().sum(dim=(1, 2)).nonzero().squeeze(1).tolist())
    assert moved == selected(negatives, ids)[0]


@pytest.mark.parametrize("count", [3, 40])
def test_few_and_many_targets_are_compared_alike(count: int) -> None:
    """Few pick out rows of the head, many mask it; the loss is that of each target alone."""
    head = PrototypeHead(prototypes()[:, None])
    negatives = SparseNegatives(Sparseness(nearest=0.1, random=0.05), 50)
    negatives.refresh(head.prototypes())
    ids = torch.arange(count)
    assert (negatives.select(ids)[0] is None) == (count == 40)
    features, softmax = torch.randn(count, 8), MarginSoftmax(prefixes=(4, 8), smoothing=0.1)
    alone = [
        head.identification_loss(features[[i]], ids[[i]], softmax, negatives) for i in range(count)
    ]
    together = head.identification_loss(features, ids, softmax, negatives)
    assert torch.allclose(together, torch.stack(alone).mean())


def test_a_refresh_follows_the_prototypes() -> None:
    negatives = SparseNegatives(Sparseness(nearest=0.1, random=0, refresh_every=10), 50)
    assert negatives.due(3)
    negatives.refresh(prototypes())
    before = negatives.graph
    assert [step for step in range(4, 25) if negatives.due(step)] == [10, 20]
    negatives.refresh(prototypes(seed=1))
    assert before is not None
    assert negatives.graph is not None
    assert not torch.equal(before, negatives.graph)


def test_the_graph_is_bounded() -> None:
    assert Sparseness(nearest=0.1, at_most=2000).neighbours(5000) == 500
    assert Sparseness(nearest=0.1, at_most=2000).neighbours(100_000) == 2000


def test_unusable_settings_are_refused() -> None:
    with pytest.raises(TrainingError, match="shares"):
        SparseNegatives(Sparseness(nearest=0), 10)
    with pytest.raises(TrainingError, match="refresh it"):
        SparseNegatives(Sparseness(), 10).select(torch.tensor([0]))
