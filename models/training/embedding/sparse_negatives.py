"""Sparse negatives: a subset of the prototypes for the softmax, when there are too many for all.

For each target its nearest prototypes are negatives, by a similarity matrix of the prototypes that
is refreshed periodically (Pailitao-VL §4), and beside them a random sample, drawn anew at each step
and shared by the batch, that represents all others with importance weights: a prototype sampled
with probability p has weight 1/p (Horvitz and Thompson 1952). So the sums of the softmax are
unbiased estimates of those over all prototypes, and distant categories stay apart.

A batch of n targets with k neighbours each is compared with the union of their negatives, up to
n · k prototypes. So this saves time where n · k is well below U; with fewer prototypes it changes
what is learned, not how fast.

The matrix is never held as a whole: it is computed block by block, and of each row only the
indices of its nearest are kept.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from models.errors import TrainingError

BLOCK = 1024
"""Prototypes compared at once: at U = 100,000 a block of cosines takes 400 MB."""

DENSE_FROM = 0.75
"""A batch whose negatives are more than this share is compared with all prototypes, and the others
are masked: copying most rows of the head costs more than the cosines saved."""


@dataclass(frozen=True)
class Sparseness:
    """How sparse the negatives are.

    ``nearest`` and ``random`` are shares of U in 0..1. ``at_most`` bounds the nearest of each
    target: the graph holds 4 · U · min(nearest · U, at_most) bytes, 800 MB at U = 100,000.
    ``refresh_every`` is in steps.
    """

    nearest: float = 0.1
    random: float = 0.01
    refresh_every: int = 500
    at_most: int = 2000

    def neighbours(self, classes: int) -> int:
        """How many of U prototypes are kept as neighbours of each."""
        return min(math.ceil(self.nearest * classes), self.at_most, classes)


class SparseNegatives:
    """The neighbour graph of the prototypes, and the negatives it selects for a batch.

    Attributes:
        graph: int32 (U, k), the nearest prototypes of each, itself first; None before `refresh`.
        step: the training step; random prototypes are drawn from it and the seed, so that a
            resumed run draws the same and all ranks agree.
    """

    def __init__(self, sparseness: Sparseness, classes: int, seed: int = 0) -> None:
        if not (0 < sparseness.nearest <= 1 and 0 <= sparseness.random <= 1):
            raise TrainingError(f"shares of the prototypes must lie in 0..1, not in {sparseness}")
        self.sparseness = sparseness
        self.classes = classes
        self.seed = seed
        self.step = 0
        self.graph: Tensor | None = None

    def due(self, step: int) -> bool:
        """Move to a step; True when the graph must be refreshed before it."""
        self.step = step
        return self.graph is None or step % self.sparseness.refresh_every == 0

    def refresh(self, prototypes: Tensor) -> None:
        """Find the neighbours anew among prototypes (U, D)."""
        self.graph = nearest_prototypes(prototypes, self.sparseness.neighbours(self.classes))

    def select(self, ids: Tensor) -> tuple[Tensor | None, Tensor]:
        """The prototypes to compare a batch with, for targets (n,), and their weights.

        Returns:
            Their indices in ascending order (u,), and weights (n, u); or None for all, and weights
            (n, U). A neighbour has weight 1, the target among them, a sampled prototype the number
            it represents, any other 0.

        Raises:
            TrainingError: before the first `refresh`.
        """
        if self.graph is None:
            raise TrainingError("the neighbour graph is empty: refresh it from the prototypes")
        near = torch.zeros(len(ids), self.classes, dtype=torch.bool, device=ids.device)
        near.scatter_(1, self.graph[ids].long(), True)
        near.scatter_(1, ids[:, None], True)
        represents = self._sample().to(ids.device)
        columns = (near.any(dim=0) | (represents > 0)).nonzero().squeeze(1)
        if len(columns) > DENSE_FROM * self.classes:
            return None, torch.where(near, 1.0, represents)
        return columns, torch.where(near[:, columns], 1.0, represents[columns])

    def _sample(self) -> Tensor:
        """How many prototypes each of the U represents in this step, (U,): 0 if not sampled."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.step)
        count = math.ceil(self.sparseness.random * self.classes)
        represents = torch.zeros(self.classes)
        drawn = torch.randperm(self.classes, generator=generator)[:count]
        represents[drawn] = self.classes / max(count, 1)
        return represents


@torch.no_grad()
def nearest_prototypes(prototypes: Tensor, count: int, block: int = BLOCK) -> Tensor:
    """The ``count`` prototypes of greatest cosine to each, itself first: int32 (U, count).

    Args:
        prototypes: (U, D), of any length; the graph lies on the same device.
        count: 1..U.
        block: how many rows are compared at once.
    """
    unit = functional.normalize(prototypes.float(), dim=-1)
    graph = torch.empty(len(unit), count, dtype=torch.int32, device=unit.device)
    for start in range(0, len(unit), block):
        cosines = unit[start : start + block] @ unit.T
        here = torch.arange(len(cosines), device=unit.device)
        cosines[here, start + here] = 2.0  # itself first, also where duplicates tie
        graph[start : start + block] = cosines.topk(count, dim=1).indices
    return graph
