"""Losses of Pailitao-VL (arXiv 2602.13704v2, §5.2 to §5.4) on chunks.

All take levels (chunks, size) of 0 (instance) to 3, and ``present`` (chunks, size), 1 or 0.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def pair_loss(s: Tensor, levels: Tensor, present: Tensor, tau: float = 1.0) -> Tensor:
    """The ranking loss: of each pair of one chunk the more relevant one should score higher.

    A pair weighs as much as its levels differ; the mean is over the pairs of a chunk, then over
    chunks that have any.
    """
    worse = (levels[:, :, None] - levels[:, None, :]).float()  # i by so much worse than j
    pairs = (worse > 0) * present[:, :, None] * present[:, None, :]
    losses = functional.softplus((s[:, :, None] - s[:, None, :]) / tau) * worse * pairs
    count = pairs.sum((1, 2))
    return (losses.sum((1, 2)) / count.clamp(min=1)).sum() / (count > 0).sum().clamp(min=1)


def null_loss(s: Tensor, null: Tensor, levels: Tensor, present: Tensor, tau: float = 1.0) -> Tensor:
    """The NULL loss: instances score above NULL, all else below.

    Each side is a mean over a chunk; where one is empty it counts nothing (the paper is silent).
    """
    instance = (levels == 0) * present
    other = (levels > 0) * present
    above = functional.softplus(-(s - null[:, None]) / tau) * instance
    below = functional.softplus((s - null[:, None]) / tau) * other
    sides = above.sum(1) / instance.sum(1).clamp(min=1) + below.sum(1) / other.sum(1).clamp(min=1)
    return sides.mean()


def index_loss(s: Tensor, null: Tensor, levels: Tensor, present: Tensor) -> Tensor:
    """The next-token loss: which index is the answer, or NULL; several instances share it."""
    logits = torch.cat([null[:, None], s + (present - 1) * 1e4], dim=1)
    instance = (levels == 0) * present
    none = (instance.sum(1, keepdim=True) == 0).float()
    target = torch.cat([none, instance], dim=1)
    target = target / target.sum(1, keepdim=True)
    return -(target * functional.log_softmax(logits, dim=1)).sum(1).mean()


def absolute_loss(
    logits: Tensor, levels: Tensor, present: Tensor, smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy of the four levels; the mean over candidates."""
    losses = functional.cross_entropy(
        logits.flatten(0, 1), levels.flatten().long(), reduction="none", label_smoothing=smoothing
    )
    return (losses * present.flatten()).sum() / present.sum()
