"""A problem where identity hides under louder nuisance, small enough for a linear encoder."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.training.embedding.recipe import Recipe
from models.training.embedding.run_state import Batch, StageName, TrainableEncoder

WIDTH = 16
SEEN = 60
"""IDs that are trained on; as many again are kept for validation."""

PREFIXES = (4, 8)


def recipe(contrast: int, identity: int, **more: object) -> Recipe:
    settings: dict[str, object] = {"prefixes": PREFIXES, "learning_rate": 1e-2, **more}
    return Recipe(contrast_steps=contrast, identity_steps=identity, **settings)  # type: ignore[arg-type]


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


_IDENTITIES = torch.randn(2 * SEEN, 4, generator=_seeded(0)) @ torch.randn(
    4, WIDTH, generator=_seeded(1)
)
_NUISANCE = 2 * torch.randn(4, WIDTH, generator=_seeded(2))


def views(ids: Tensor, generator: torch.Generator) -> Tensor:
    """One picture of each ID, (n, WIDTH)."""
    loud = torch.randn(len(ids), 4, generator=generator) @ _NUISANCE
    return _IDENTITIES[ids] + loud + 0.05 * torch.randn(len(ids), WIDTH, generator=generator)


class Linear(TrainableEncoder):
    """Drops inputs at random, so that exact resuming has to restore the generators."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(WIDTH, max(PREFIXES))
        self.dropout = dropout

    def encode(self, inputs: Tensor) -> Tensor:
        dropped = functional.dropout(inputs, self.dropout, self.training)
        encoded: Tensor = self.linear(dropped)
        return encoded


def batches(stage: StageName, start: int) -> Iterator[Batch]:
    step = start
    while True:
        generator = _seeded(step)
        ids = torch.randperm(SEEN, generator=generator)[:16].repeat(2)
        yield views(ids, generator), ids
        step += 1


def training_pass() -> Iterator[Batch]:
    ids = torch.arange(SEEN).repeat(4)
    yield views(ids, _seeded(10**6)), ids


def unseen_recall(encoder: TrainableEncoder) -> float:
    """How often the nearest of the unseen IDs' pictures shows the same ID, 0..1."""
    generator = _seeded(10**7)
    ids = torch.arange(SEEN, 2 * SEEN)
    with torch.no_grad():
        one, other = (
            functional.normalize(encoder.encode(views(ids, generator)), dim=1) for _ in range(2)
        )
    return float(((one @ other.T).argmax(dim=1) == torch.arange(SEEN)).float().mean())
