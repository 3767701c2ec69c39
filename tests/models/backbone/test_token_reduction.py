"""Fewer tokens in a transformer: nothing is lost track of, and every patch still has its row."""

from tests.needs import needs_torch

pytestmark = needs_torch()

import torch
from hypothesis import given
from hypothesis import strategies as st

from models.backbone.token_reduction import keep_attentive, merge_alike

shapes = st.tuples(st.integers(0, 3), st.integers(4, 20), st.integers(1, 3), st.integers(0, 99))
"""What stands before the patches, how many there are, of how many pictures, a seed."""


def drawn(first: int, patches: int, pictures: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(pictures, first + patches, 5, generator=generator)
    size = torch.randint(1, 4, (pictures, first + patches), generator=generator).float()
    return tokens, size


def spread(tokens: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """The token that each went into."""
    return tokens.gather(1, place[..., None].expand(-1, -1, tokens.shape[2]))


@given(shapes)
def test_merging_keeps_every_patch_and_the_sum_of_all(shape: tuple[int, int, int, int]) -> None:
    first, patches, _, _ = shape
    tokens, size = drawn(*shape)
    merged = patches // 3 or 1
    made, counts, place = merge_alike(tokens, size, first, merged)
    assert made.shape[1] == counts.shape[1] == first + patches - merged
    torch.testing.assert_close(counts.sum(1), size.sum(1))
    torch.testing.assert_close((made * counts[..., None]).sum(1), (tokens * size[..., None]).sum(1))
    torch.testing.assert_close(made[:, :first], tokens[:, :first])
    assert place.shape == size.shape
    held = torch.zeros_like(counts).scatter_add(1, place, size)
    torch.testing.assert_close(held, counts)


def test_patches_that_are_equal_are_merged_without_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    pairs = torch.randn(1, 6, 8, generator=generator).repeat_interleave(2, dim=1)
    tokens = torch.cat([torch.ones(1, 1, 8), pairs], dim=1)
    made, counts, place = merge_alike(tokens, torch.ones(1, 13), 1, 6)
    torch.testing.assert_close(spread(made, place), tokens)
    assert counts[0, 1:].tolist() == [2.0] * 6


@given(shapes)
def test_the_patches_that_are_looked_at_stay_as_they_are(shape: tuple[int, int, int, int]) -> None:
    first, patches, pictures, seed = shape
    tokens, size = drawn(*shape)
    attention = torch.rand(pictures, first + patches, generator=torch.Generator().manual_seed(seed))
    keep = patches // 2
    made, counts, place = keep_attentive(tokens, size, attention, first, keep)
    assert made.shape[1] == first + keep + 1
    torch.testing.assert_close(counts.sum(1), size.sum(1))
    there = spread(made, place)
    for picture in range(pictures):
        looked = first + attention[picture, first:].topk(keep).indices
        torch.testing.assert_close(there[picture, looked], tokens[picture, looked])
        others = [at for at in range(first, first + patches) if at not in looked.tolist()]
        weight = attention[picture, others] / attention[picture, others].sum()
        fused = (tokens[picture, others] * weight[:, None]).sum(0)
        torch.testing.assert_close(there[picture, others], fused.expand(len(others), -1))
