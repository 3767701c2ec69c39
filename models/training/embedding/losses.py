"""The two losses, at every Matryoshka prefix (Pailitao-VL §4).

Contrast (stage 1) compares the rows of a batch with each other; identification (stage 3) compares
each row with the prototypes of all IDs and demands an angular margin from its own (ArcFace, Deng et
al. 2019). Both are sums over prefixes, Σ_g λ_g · loss(h_{1:g}), with h_{1:g} scaled to length 1 on
its own, so that each prefix works alone.

Cosines and everything behind them are computed in float32, whatever the encoder ran in.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from models.embedding.layout import IDENTITY_PREFIXES
from models.errors import TrainingError

PREFIXES = IDENTITY_PREFIXES
MASKED_LOGIT = -1e9
"""In place of −∞ for masked logits: its gradient is 0 rather than NaN."""

MAX_COSINE = 1 - 1e-6
"""Cosines are clamped to ± this before acos, whose slope is infinite at ±1."""


@dataclass(frozen=True)
class MarginSoftmax:
    """How rows are compared with prototypes.

    ``scale`` is s = 1/τ; ``margin`` m is in radians; ``smoothing`` is the share of the target that
    is spread evenly over all classes (label smoothing), and ``concept_smoothing`` that over the
    classes of the same concept, which keeps products of one category near each other; ``weights``
    are the λ_g, by default 1/|G| each.
    """

    scale: float = 32.0
    margin: float = 0.3
    smoothing: float = 0.0
    concept_smoothing: float = 0.0
    prefixes: tuple[int, ...] = PREFIXES
    weights: tuple[float, ...] | None = None

    def terms(self) -> list[tuple[int, float]]:
        """(prefix g, λ_g); raises TrainingError."""
        return weighted_prefixes(self.prefixes, self.weights)


def weighted_prefixes(
    prefixes: Sequence[int], weights: Sequence[float] | None = None
) -> list[tuple[int, float]]:
    """(g, λ_g) of each prefix, λ_g = 1/|G| unless given.

    Raises:
        TrainingError: no prefix, one below 1, or another number of weights.
    """
    chosen = [1 / len(prefixes)] * len(prefixes) if weights is None and prefixes else weights or ()
    if not prefixes or min(prefixes) < 1 or len(chosen) != len(prefixes):
        raise TrainingError(
            f"prefixes {tuple(prefixes)} with weights {tuple(chosen)}: give at least one prefix, "
            "each of 1 or more values, and one weight for each"
        )
    return list(zip(prefixes, chosen, strict=True))


def normalised_prefix(rows: Tensor, prefix: int) -> Tensor:
    """The first ``prefix`` values of rows (..., D), float32, scaled to length 1.

    Raises:
        TrainingError: the rows are shorter.
    """
    if rows.shape[-1] < prefix:
        raise TrainingError(
            f"vectors of {rows.shape[-1]} values have no prefix of {prefix}: give prefixes that "
            "fit the encoder"
        )
    return functional.normalize(rows[..., :prefix].float(), dim=-1)


def info_nce(rows: Tensor, ids: Tensor, *, temperature: float = 0.05) -> Tensor:
    """Contrast of unit vectors within a batch; the mean over all ordered pairs of one ID.

    Each pair (i, j) of one ID costs −log exp(s_ij) / (exp(s_ij) + Σ_k exp(s_ik)), s = cosine / τ,
    where k runs over the rows of *other* IDs: further views of the same ID are never negatives. A
    row whose ID occurs once is a negative only.

    Args:
        rows: unit vectors (n, d).
        ids: their IDs, integers (n,).
        temperature: τ.

    Raises:
        TrainingError: no ID occurs twice.
    """
    logits = rows @ rows.T / temperature
    same = ids[:, None] == ids[None, :]
    positive = same & ~torch.eye(len(ids), dtype=torch.bool, device=ids.device)
    if not positive.any():
        raise TrainingError(
            "no ID occurs twice in this batch: contrast needs two views of an ID or more"
        )
    negatives = logits.masked_fill(same, MASKED_LOGIT)
    total = torch.logsumexp(negatives, dim=1, keepdim=True)
    return functional.softplus(total - logits)[positive].mean()


def matryoshka_info_nce(
    features: Tensor,
    ids: Tensor,
    *,
    prefixes: Sequence[int] = PREFIXES,
    weights: Sequence[float] | None = None,
    temperature: float = 0.05,
) -> Tensor:
    """Σ_g λ_g · InfoNCE(h_{1:g}) of features (n, D) of any length; see `info_nce`."""
    total = features.new_zeros((), dtype=torch.float32)
    for prefix, weight in weighted_prefixes(prefixes, weights):
        cut = normalised_prefix(features, prefix)
        total = total + weight * info_nce(cut, ids, temperature=temperature)
    return total


def add_angular_margin(cosines: Tensor, margin: float) -> Tensor:
    """cos(θ + m) of cosines cos θ, any shape.

    Beyond θ = π − m, where cos(θ + m) would rise again, it goes on falling: cos θ − m · sin m.
    """
    if margin == 0:
        return cosines
    with_margin = torch.cos(torch.acos(cosines.clamp(-MAX_COSINE, MAX_COSINE)) + margin)
    beyond = cosines - margin * math.sin(margin)
    return torch.where(cosines > -math.cos(margin), with_margin, beyond)


def arcface(
    cosines: Tensor,
    targets: Tensor,
    softmax: MarginSoftmax,
    weights: Tensor | None = None,
    same_concept: Tensor | None = None,
) -> Tensor:
    """Mean −log P(y | h) with P ∝ w_u · exp(s · cos(θ_u + m · [u = y])).

    Args:
        cosines: of each row to each class, (n, u).
        targets: the column of each row's own class, integers (n,).
        softmax: s, m and what is smoothed; without margin this is the plain softmax cross-entropy
            of s · cosines.
        weights: w, how many classes each stands for in a row's sums, (n, u): 0 does not count; 1 by
            default, as for the row's own class always.
        same_concept: True where a class is of the concept of a row's own, (n, u), itself among
            them; without it there is no ``concept_smoothing``.
    """
    own = targets[:, None]
    with_margin = add_angular_margin(cosines.gather(1, own), softmax.margin)
    logits = softmax.scale * cosines.scatter(1, own, with_margin)
    weighted = logits if weights is None else logits + log_weights(weights)
    concept_smoothing = 0.0 if same_concept is None else softmax.concept_smoothing
    target = (1 - softmax.smoothing - concept_smoothing) * logits.gather(1, own).squeeze(1)
    if softmax.smoothing:
        target = target + softmax.smoothing * weighted_mean(logits, weights)
    if same_concept is not None and concept_smoothing:
        target = target + concept_smoothing * weighted_mean(
            logits, same_concept if weights is None else same_concept * weights
        )
    return (torch.logsumexp(weighted, dim=1) - target).mean()


def log_weights(weights: Tensor) -> Tensor:
    """log w of weights of any shape, `MASKED_LOGIT` where they are 0."""
    return torch.where(weights > 0, weights.log(), MASKED_LOGIT)


def weighted_mean(logits: Tensor, weights: Tensor | None) -> Tensor:
    """Mean of each row's (n, u) values by weights or a mask, or of all: (n,)."""
    if weights is None:
        return logits.mean(dim=1)
    return (logits * weights).sum(dim=1) / weights.sum(dim=1)
