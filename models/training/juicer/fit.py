"""Fitting the product head: per patch the share of product, an object's middle, and its box."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.juicer.product_head import PLACES, WIDTH, ProductHead, centres
from models.progress import Progress, no_progress
from models.training.juicer.targets import Targets

BATCH = 64
LEARNING_RATE = 4e-3
DROPOUT = 0.1
SCORE_WEIGHT = 2.0
"""Of the loss of middles against those of shares and boxes."""


class HeadNetwork(nn.Module):
    """`models.juicer.product_head.ProductHead` as it is trained."""

    def __init__(self, inputs: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.enter = nn.Linear(inputs, WIDTH)
        self.near = nn.Linear(9 * WIDTH, WIDTH)
        self.whole = nn.Linear(WIDTH, WIDTH, bias=False)
        self.far = nn.Linear(9 * WIDTH, WIDTH)
        self.out = nn.Linear(WIDTH, 6)
        nn.init.zeros_(self.out.weight)

    def forward(self, rows: Tensor, inside: Tensor) -> Tensor:
        """The raw output (n, patches, 6) of rows (n, patches, d); inside (n, patches) is 0 or 1."""
        shown = inside[..., None]
        hidden = functional.relu(self.enter(rows)) * shown
        hidden = functional.dropout(hidden, DROPOUT, self.training)
        whole = self.whole(hidden.sum(dim=1) / inside.sum(dim=1, keepdim=True))
        near = self.near(self._neighbours(hidden, 1))
        hidden = functional.relu(near + whole[:, None]) * shown
        hidden = functional.relu(self.far(self._neighbours(hidden, 2)))
        out: Tensor = self.out(hidden)
        return out

    def head(self) -> ProductHead:
        """The head with these weights, as they are stored, in fp16."""
        layers = {"enter": self.enter, "near": self.near, "far": self.far, "out": self.out}
        tensors = {"whole": self.whole.weight.T}
        for name, layer in layers.items():
            tensors |= {name: layer.weight.T, f"{name}_bias": layer.bias}
        return ProductHead(
            {
                name: tensor.detach().numpy().astype(np.float16).astype(np.float32)
                for name, tensor in tensors.items()
            }
        )

    def _neighbours(self, rows: Tensor, step: int) -> Tensor:
        height, width = self.grid
        around = (0, 0, step, step, step, step)
        padded = functional.pad(rows.view(len(rows), height, width, -1), around)
        shifts = (0, step, 2 * step)
        parts = [padded[:, y : y + height, x : x + width] for y in shifts for x in shifts]
        return torch.cat(parts, dim=3).flatten(1, 2)


def fit_head(
    targets: Sequence[Targets],
    grid: tuple[int, int],
    *,
    passes: int = 12,
    seed: int = 0,
    progress: Progress = no_progress,
) -> ProductHead:
    """Fit a head; every second batch is mirrored."""
    torch.manual_seed(seed)
    rows = torch.from_numpy(np.stack([one.rows.astype(np.float16) for one in targets]))
    inside, share, score, boxes, weights = (
        torch.from_numpy(np.stack([getattr(one, name) for one in targets]).astype(np.float32))
        for name in ("inside", "share", "score", "boxes", "weights")
    )
    network = HeadNetwork(rows.shape[2], grid)
    steps = len(targets) // BATCH
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, LEARNING_RATE, total_steps=passes * steps
    )
    mirrored = np.arange(grid[0] * grid[1]).reshape(grid)[:, ::-1].reshape(-1).copy()
    for number in range(passes * steps):
        if number % steps == 0:
            order = torch.randperm(len(targets))
        some = order[BATCH * (number % steps) :][:BATCH]
        batch = [one[some].float() for one in (rows, inside, share, score, boxes, weights)]
        if number % 2:
            batch = [one[:, mirrored] for one in batch]
            batch[0][..., -PLACES] *= -1
            left, top, right, bottom = batch[4].unbind(dim=2)
            batch[4] = torch.stack([1 - right, top, 1 - left, bottom], dim=2)
        optimiser.zero_grad()
        loss = _loss(network(batch[0], batch[1]), batch[1:], grid)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        progress(number + 1, passes * steps)
    return network.eval().head()


def _loss(out: Tensor, wanted: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
    """Of the raw output; ``wanted`` are inside, share, score, boxes and weights of `Targets`."""
    inside, share, score, boxes, weights = wanted
    entropy = functional.binary_cross_entropy_with_logits
    of_share = entropy(out[..., 0], share, reduction="none") * inside
    of_score = entropy(out[..., 1], score, reduction="none") * inside * (1 + 2 * score)
    answering = weights > 0
    losses = 1 - _generalised_overlap(_boxes(out[..., 2:], grid)[answering], boxes[answering])
    of_boxes = (losses * weights[answering]).sum() / weights.sum()
    total: Tensor = (
        of_share.sum() / inside.sum() + SCORE_WEIGHT * of_score.sum() / inside.sum() + of_boxes
    )
    return total


def _boxes(reach: Tensor, grid: tuple[int, int]) -> Tensor:
    """As `models.juicer.product_head.boxes_of`."""
    x, y = (torch.from_numpy(np.asarray(one, np.float32)) for one in centres(grid))
    left, top, right, bottom = (0.25 * torch.exp(reach.clamp(-4.0, 1.5))).unbind(dim=2)
    return torch.stack([x - left, y - top, x + right, y + bottom], dim=2)


def _generalised_overlap(one: Tensor, other: Tensor) -> Tensor:
    """Generalised intersection over union of pairs of boxes (Rezatofighi et al., CVPR 2019)."""

    def area(box: Tensor) -> Tensor:
        return (box[:, 2:] - box[:, :2]).clamp(min=1e-4).prod(dim=1)

    low, high = torch.maximum(one[:, :2], other[:, :2]), torch.minimum(one[:, 2:], other[:, 2:])
    shared = (high - low).clamp(min=0).prod(dim=1)
    union = area(one) + area(other) - shared
    around = torch.cat(
        [torch.minimum(one[:, :2], other[:, :2]), torch.maximum(one[:, 2:], other[:, 2:])], dim=1
    )
    return shared / union - (area(around) - union) / area(around)


def parameters(head: ProductHead) -> int:
    """How many parameters a head has."""
    return sum(int(np.prod(np.shape(tensor))) for tensor in head.tensors.values())
