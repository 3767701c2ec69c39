"""Training of the listwise network, the pointwise one, and listwise ones without a part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from benchmarks.reranking.inputs import CONTEXT_WIDTH, WIDTH
from benchmarks.reranking.lists import DEPTH, Lists
from benchmarks.reranking.matches import FEATURES
from benchmarks.reranking.network import ListwiseNetwork, Size
from models.arrays import Floats
from models.reranking.chunks import ABSENT, CHUNK_SIZE, Chunks
from models.training.reranker.list_losses import absolute_loss, index_loss, null_loss, pair_loss

SIZE = Size(width=32, heads=2, layers=2)
LEARNING_RATE, WEIGHT_DECAY, WARM_UP = 2e-3, 0.2, 0.1
PAIR_WEIGHT, NULL_WEIGHT, INDEX_WEIGHT, ABSOLUTE_WEIGHT = 0.5, 0.3, 1.0, 5.0
"""Absolute losses are means over candidates, of which one in ten is an instance."""
SMOOTHING = 0.05
"""Label smoothing of the levels."""
CATALOGS_EACH, QUERIES_EACH = 4, 6
"""In a step: so many catalogs, and queries of each."""


@dataclass(frozen=True)
class Variant:
    """What is trained.

    Attributes:
        name: in the table.
        pointwise: candidates see neither each other nor the list; binary cross-entropy.
        null: whether "none of them" is learned.
        absolute: whether levels are learned.
        as_they_are: whether features are read as they are too, not only as they stand out.
    """

    name: str
    pointwise: bool = False
    null: bool = True
    absolute: bool = True
    as_they_are: bool = False

    @property
    def read(self) -> Tensor:
        """1 for the inputs that are read, (WIDTH,)."""
        read = torch.ones(WIDTH)
        if self.pointwise:
            read[len(FEATURES) :] = 0
        elif not self.as_they_are:
            read[: len(FEATURES)] = 0
        return read


POINTWISE = Variant("pointwise", pointwise=True)
CHUNKWISE = Variant("chunk", null=False, absolute=False)
WITH_NULL = Variant("chunk + NULL", absolute=False)
LISTWISE = Variant("chunk + NULL + absolute")


@dataclass(frozen=True, eq=False)
class Trained:
    """A network with the scale of its inputs."""

    variant: Variant
    network: ListwiseNetwork
    scale: Scale

    @torch.inference_mode()
    def scores(self, lists: Lists, chunks: Chunks) -> tuple[Floats, Floats, Floats]:
        """s (n, chunks, size), s_NULL (n, chunks) and P(level) (n, chunks, size, 4).

        Where there is no candidate, s is -inf, s_NULL inf and P 0.
        """
        candidates, context = self.scale(lists.candidates[:, chunks], lists.context)
        present = torch.from_numpy(lists.present[:, chunks] * (chunks != ABSENT))
        count, parts, size = present.shape
        flat = present.reshape(-1, size)
        there = flat.sum(dim=1) > 0
        s, null, logits = self.network(
            (candidates * self.variant.read).reshape(count * parts, size, -1)[there],
            context.repeat_interleave(parts, dim=0)[there],
            flat[there],
        )
        found = torch.full((count * parts, size), -torch.inf)
        found[there] = torch.where(flat[there] > 0, s, -torch.inf)
        nulls = torch.full((count * parts,), torch.inf)
        nulls[there] = null
        levels = torch.zeros(count * parts, size, logits.shape[-1])
        levels[there] = torch.softmax(logits, dim=-1) * flat[there][..., None]
        return (
            found.reshape(count, parts, size).numpy(),
            nulls.reshape(count, parts).numpy(),
            levels.reshape(count, parts, size, -1).numpy(),
        )


class Scale:
    """Standardises inputs; what is not known becomes 0."""

    def __init__(self, lists: Sequence[Lists]) -> None:
        rows = np.concatenate([one.candidates[::4] for one in lists]).astype(np.float32)
        context = np.concatenate([one.context for one in lists])
        known = ~np.isnan(rows)
        count = np.maximum(known.sum(axis=(0, 1)), 1)
        self.mean = np.where(known, rows, 0).sum(axis=(0, 1)) / count
        variance = np.where(known, (rows - self.mean) ** 2, 0).sum(axis=(0, 1)) / count
        self.deviation = np.sqrt(variance) + 1e-3
        self.context_mean, self.context_deviation = context.mean(axis=0), context.std(axis=0) + 0.01

    def __call__(
        self, candidates: Floats | NDArray[np.float16], context: Floats
    ) -> tuple[Tensor, Tensor]:
        """As tensors, cut at 6 and 4 deviations."""
        rows = (candidates.astype(np.float32) - self.mean) / self.deviation
        others = (context - self.context_mean) / self.context_deviation
        return (
            torch.from_numpy(np.nan_to_num(rows).clip(-6, 6).astype(np.float32)),
            torch.from_numpy(others.clip(-4, 4).astype(np.float32)),
        )


def train(catalogs: Sequence[Lists], variant: Variant, *, steps: int, seed: int) -> Trained:
    """Train on lists of several catalogs, which all count the same."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = ListwiseNetwork(WIDTH, CONTEXT_WIDTH, SIZE, compares=not variant.pointwise)
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=steps, pct_start=WARM_UP
    )
    scale = Scale(catalogs)
    network.train()
    for _ in range(steps):
        rows, context, levels, present = _batch(catalogs, rng)
        candidates, others = scale(rows, context)
        s, null, logits = network(candidates * variant.read, others, present)
        loss = _loss(variant, s, null, logits, levels, present)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return Trained(variant, network.eval(), scale)


def _batch(
    catalogs: Sequence[Lists], rng: np.random.Generator
) -> tuple[Floats, Floats, Tensor, Tensor]:
    """Chunks of some lists: the first ten candidates and ten later ones, or ten of twenty."""
    taken: list[tuple[Lists, int, np.ndarray]] = []
    for number in rng.choice(len(catalogs), CATALOGS_EACH):
        lists = catalogs[number]
        for row in rng.integers(len(lists), size=QUERIES_EACH).tolist():
            first = np.arange(CHUNK_SIZE)
            later = CHUNK_SIZE + rng.choice(DEPTH - CHUNK_SIZE, CHUNK_SIZE, replace=False)
            mixed = rng.permutation(2 * CHUNK_SIZE)[:CHUNK_SIZE]
            taken += [
                (lists, row, places)
                for places in ((first, later) if rng.random() < 0.7 else (mixed,))
                if lists.present[row, places].sum() > 1
            ]
    return (
        np.stack([lists.candidates[row, places] for lists, row, places in taken]),
        np.stack([lists.context[row] for lists, row, _ in taken]),
        torch.from_numpy(
            np.stack([lists.levels[row, places] for lists, row, places in taken]).astype(np.int64)
        ),
        torch.from_numpy(np.stack([lists.present[row, places] for lists, row, places in taken])),
    )


def _loss(
    variant: Variant, s: Tensor, null: Tensor, logits: Tensor, levels: Tensor, present: Tensor
) -> Tensor:
    if variant.pointwise:
        instance = logits[..., 0] - torch.logsumexp(logits[..., 1:], dim=-1)
        losses = functional.binary_cross_entropy_with_logits(
            instance, (levels == 0).float(), reduction="none"
        )
        return 10 * (losses * present).sum() / present.sum()
    loss = PAIR_WEIGHT * pair_loss(s, levels, present)
    if variant.null:
        loss = loss + NULL_WEIGHT * null_loss(s, null, levels, present)
        loss = loss + INDEX_WEIGHT * index_loss(s, null, levels, present)
    if variant.absolute:
        loss = loss + ABSOLUTE_WEIGHT * absolute_loss(logits, levels, present, SMOOTHING)
    return loss
