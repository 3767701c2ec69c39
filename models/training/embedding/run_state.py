"""The state of a training run: all that a checkpoint holds."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from models.training.embedding.prototype_head import PrototypeHead
from models.training.embedding.recipe import Recipe
from models.training.embedding.sparse_negatives import SparseNegatives

StageName = Literal["contrast", "identity"]
MIN_DECAYED_DIMENSIONS = 2
"""Parameters of fewer dimensions (biases, scales of norms) are not decayed."""


Batch = tuple[Any, Tensor]
"""What the encoder takes, and the IDs (n,) of its pictures, 0..U − 1."""


class TrainableEncoder(nn.Module, ABC):
    """A network that `stages.train` trains."""

    @abstractmethod
    def encode(self, inputs: Any) -> Tensor:
        """Vectors (n, D) of a batch of inputs, of any length, with gradients.

        Inputs are as the batches have them; the encoder moves them to its device.
        """


@dataclass(frozen=True)
class StepRecord:
    """One step of the history: numbered within its stage from 1.

    ``rate`` is the encoder's learning rate, ``margin`` in radians (0 in the contrast stage),
    ``score`` the validation's where there was one after this step.
    """

    stage: StageName
    step: int
    steps: int
    loss: float
    rate: float
    margin: float = 0.0
    score: float | None = None


@dataclass
class Run:
    """All that changes during a run.

    ``step`` counts the finished steps of the current stage; ``stale`` the validations since the
    stage's best; ``best`` holds the weights validated best in this stage, ``average`` the moving
    average of the encoder's floating-point weights; ``concepts`` numbers each ID's concept.
    """

    encoder: TrainableEncoder
    recipe: Recipe
    optimizer: torch.optim.AdamW
    stage: StageName
    head: PrototypeHead | None = None
    negatives: SparseNegatives | None = None
    step: int = 0
    stale: int = 0
    best_score: float | None = None
    best: dict[str, Tensor] | None = None
    average: dict[str, Tensor] | None = None
    concepts: Tensor | None = None
    history: list[StepRecord] = field(default_factory=list)

    @property
    def steps(self) -> int:
        """How many steps the current stage has."""
        recipe = self.recipe
        return recipe.contrast_steps if self.stage == "contrast" else recipe.identity_steps

    @property
    def finished(self) -> bool:
        """True when the current stage is over, by its steps or because it stopped early."""
        patience = self.recipe.patience
        return self.step >= self.steps or (patience is not None and self.stale >= patience)


def make_optimizer(
    encoder: nn.Module, head: PrototypeHead | None, recipe: Recipe
) -> torch.optim.AdamW:
    """AdamW with parameter groups for what decays, what does not, and the head.

    Each group remembers its peak learning rate as ``peak``.
    """
    trained = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in trained if parameter.ndim >= MIN_DECAYED_DIMENSIONS]
    plain = [parameter for parameter in trained if parameter.ndim < MIN_DECAYED_DIMENSIONS]
    groups = [(decayed, recipe.weight_decay, 1.0), (plain, 0.0, 1.0)]
    if head is not None:
        groups.append((list(head.parameters()), 0.0, recipe.head_factor))
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "weight_decay": decay,
                "lr": recipe.learning_rate * factor,
                "peak": recipe.learning_rate * factor,
            }
            for parameters, decay, factor in groups
            if parameters
        ]
    )


def device_of(encoder: TrainableEncoder) -> torch.device:
    """The device of its weights."""
    return next(encoder.parameters()).device


def autocast(encoder: TrainableEncoder, mixed: bool) -> torch.autocast:
    """bfloat16 on CUDA; it has float32's range, so that gradients need no scaling."""
    device = device_of(encoder).type
    return torch.autocast(device, torch.bfloat16, enabled=mixed and device == "cuda")
