"""Which prototypes a sample is told apart from, when there are too many for all.

For each target only its nearest prototypes count, by a similarity matrix of the prototypes that is
refreshed now and then (Pailitao-VL §4), and beside them a random share, drawn anew at each step and
shared by the batch, that stands for all the others: a prototype that is drawn once in a hundred
times counts as a hundred (Horvitz and Thompson 1952). So the sums of the softmax are on average
those over all prototypes, and far kinds are kept apart as they would be by all.

A batch of n targets with k neighbours each is compared with the union of what they need, up to
n · k prototypes. So this saves time where n · k is well below U; with fewer prototypes it changes
what is learned, not how fast.

The matrix itself never exists as a whole: it is made block by block, and of each row only the
numbers of its nearest are kept.
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
"""A batch that needs more of the prototypes than this share is compared with all of them, and those
not needed masked: copying most rows of the head costs more than the few cosines saved."""


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
    """The neighbour graph of the prototypes, and what it picks for a batch.

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
        """For targets (n,): the prototypes that count for any, and how much for whom.

        Returns:
            Their numbers in ascending order (u,), and weights (n, u); or None for all, and weights
            (n, U). A neighbour weighs 1, the target among them, one that was drawn as many as it
            stands for, any other 0.

        Raises:
            TrainingError: before the first `refresh`.
        """
        if self.graph is None:
            raise TrainingError("the neighbour graph is empty: refresh it from the prototypes")
        near = torch.zeros(len(ids), self.classes, dtype=torch.bool, device=ids.device)
        near.scatter_(1, self.graph[ids].long(), True)
        near.scatter_(1, ids[:, None], True)
        alias_of = self._drawn().to(ids.device)
        columns = (near.any(dim=0) | (alias_of > 0)).nonzero().squeeze(1)
        if len(columns) > DENSE_FROM * self.classes:
            return None, torch.where(near, 1.0, alias_of)
        return columns, torch.where(near[:, columns], 1.0, alias_of[columns])

    def _drawn(self) -> Tensor:
        """How many prototypes each of the U stands for in this step, (U,): 0 if not drawn."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.step)
        count = math.ceil(self.sparseness.random * self.classes)
        alias_of = torch.zeros(self.classes)
        drawn = torch.randperm(self.classes, generator=generator)[:count]
        alias_of[drawn] = self.classes / max(count, 1)
        return alias_of


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
        cosines[here, start + here] = 2.0  # itself first, also where twins tie
        graph[start : start + block] = cosines.topk(count, dim=1).indices
    return graph
