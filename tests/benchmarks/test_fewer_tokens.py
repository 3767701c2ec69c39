"""Patches inside a transformer that are pruned or merged."""

from importlib import import_module
from typing import Any

import pytest

from tests.needs import needs_torch

pytestmark = needs_torch()

import torch

from benchmarks.towers.fewer_tokens import REDUCTIONS, FewerTokens, Reduction, merge, prune


def test_the_most_alike_pair_is_averaged_by_how_many_each_stands_for() -> None:
    rows = torch.tensor([[[1.0, 0.0], [3.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]])
    sizes = torch.tensor([[[1.0], [3.0], [1.0], [1.0]]])
    merged, counts = merge(rows, sizes, rows, 1)
    assert merged[0].tolist() == [[0.0, 1.0], [2.5, 0.0], [-1.0, 0.0]]
    assert counts[0, :, 0].tolist() == [1, 4, 1]


def test_merging_keeps_the_sum_of_all_patches() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(2, 9, 4, generator=generator)
    merged, counts = merge(rows, torch.ones(2, 9, 1), rows, 4)
    assert merged.shape == (2, 5, 4)
    assert counts.sum(dim=1).flatten().tolist() == [9, 9]
    torch.testing.assert_close((merged * counts).sum(dim=1), rows.sum(dim=1))


def test_what_is_pruned_is_fused_into_one() -> None:
    rows = torch.tensor([[[1.0], [2.0], [3.0], [4.0]]])
    pruned = prune(rows, torch.tensor([[0.1, 0.4, 0.2, 0.3]]), 2)
    assert pruned[0, :, 0].tolist() == pytest.approx([2.0, 4.0, (0.1 + 0.6) / 0.3])
    assert (prune(rows, torch.ones(1, 4), 4) == rows).all()


@pytest.mark.slow
def test_a_network_with_all_its_patches_is_the_network_itself() -> None:
    library: Any = import_module("transformers")
    torch.manual_seed(0)
    config = library.SiglipVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=32,
        patch_size=4,
    )
    network = library.SiglipVisionModel(config).eval()
    pictures = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        own = network(pictures).pooler_output
        torch.testing.assert_close(FewerTokens(network, Reduction("whole"))(pictures), own)
        for one in REDUCTIONS:
            assert FewerTokens(network, one)(pictures).shape == own.shape
