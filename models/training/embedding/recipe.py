"""The hyperparameters of a training run, saved with every checkpoint."""

import math
from dataclasses import dataclass, field, replace

from models.errors import TrainingError
from models.training.embedding.losses import PREFIXES, MarginSoftmax, weighted_prefixes
from models.training.embedding.sparse_negatives import Sparseness


@dataclass(frozen=True)
class Recipe:
    """Everything that determines a run beside model and data.

    Attributes:
        contrast_steps: of stage 1; 0 skips it.
        identity_steps: of stage 3; 0 skips stages 2 and 3 and leaves no head.
        prefixes, prefix_weights: Matryoshka prefixes and their λ_g, 1/|G| each by default.
        temperature: τ of InfoNCE.
        scale, margin, smoothing, concept_smoothing: see `MarginSoftmax`; the margin is that at the
            end of its ramp.
        margin_ramp: share of stage 3, 0..1, over which the margin rises linearly from 0.
        sub_centres: K of the head, 1 or 3.
        full_up_to: with more IDs than this the softmax goes over `sparseness` only.
        sparseness: see there.
        learning_rate: of the encoder at its peak; head_factor times that for the head.
        weight_decay: AdamW's, for matrices and kernels only, and never for the head, whose length
            does not matter.
        warm_up: share of each stage's steps, 0..1, before the cosine.
        clip: the largest gradient norm over encoder and head.
        average: decay of the exponential moving average of the weights that is validated and
            returned; 0 for none.
        mixed_precision: bfloat16 for the encoder where it runs on CUDA.
        validate_every: steps between validations.
        patience: validations without a new best after which a stage stops; None never stops.
        seed: of the random negatives.
    """

    contrast_steps: int = 1000
    identity_steps: int = 1000
    prefixes: tuple[int, ...] = PREFIXES
    prefix_weights: tuple[float, ...] | None = None
    temperature: float = 0.05
    scale: float = 32.0
    margin: float = 0.3
    margin_ramp: float = 0.5
    smoothing: float = 0.0
    concept_smoothing: float = 0.0
    sub_centres: int = 1
    full_up_to: int = 100_000
    sparseness: Sparseness = field(default_factory=Sparseness)
    learning_rate: float = 3e-4
    head_factor: float = 5.0
    weight_decay: float = 0.05
    warm_up: float = 0.05
    clip: float = 1.0
    average: float = 0.0
    mixed_precision: bool = True
    validate_every: int = 100
    patience: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        weighted_prefixes(self.prefixes, self.prefix_weights)
        smoothed = self.smoothing + self.concept_smoothing
        shares = (self.margin_ramp, self.warm_up, self.smoothing, smoothed, self.average)
        if min(self.contrast_steps, self.identity_steps) < 0 or not all(
            0 <= share <= 1 for share in shares
        ):
            raise TrainingError(f"steps must not be negative and shares lie in 0..1: {self}")
        if self.sub_centres < 1 or self.validate_every < 1:
            raise TrainingError(f"sub_centres and validate_every must be 1 or more: {self}")

    def sparse(self) -> "Recipe":
        """The same with sparse negatives however few IDs there are."""
        return replace(self, full_up_to=0)

    def softmax(self, step: int) -> MarginSoftmax:
        """The margin softmax of one step of stage 3; the margin rises from 0."""
        ramp = self.margin_ramp * self.identity_steps
        reached = min(step / ramp, 1.0) if ramp > 0 else 1.0
        return MarginSoftmax(
            self.scale,
            self.margin * reached,
            self.smoothing,
            self.concept_smoothing,
            self.prefixes,
            self.prefix_weights,
        )

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a step relative to its peak: warm-up, then a cosine down to 0."""
        warm = max(1, round(self.warm_up * steps))
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
