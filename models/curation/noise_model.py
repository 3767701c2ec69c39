"""A noise model: what the evidence is worth and how often ids are wrong, learned from noisy ids.

A document's true label c has a probability by the evidence, a multinomial logit, and the observed
label y comes from c through a noisy channel:

    P(c | x) ∝ exp(Σ_e w_e · f_e(x, c)),      P(y | x) = Σ_c P(c | x) · T(y | c),
    T(y | c) = (1 − ε)·[y = c] + ε·(β / siblings(c)·[same leaf] + (1 − β) / labels).

The weights w ≥ 0, the noise rate ε and the share β of wrong ids that are siblings (of the same leaf
category) maximise the likelihood of the observed labels; so unreliable evidence gets a small
weight, whatever its scale, and clean ids give ε → 0. The channel is that of Dawid and Skene (1979)
and of confident learning (Northcutt et al. 2021). Evidence must not read the document's own label,
or w would learn to repeat it.

Candidate 0 stands for "none of them", with no evidence and a prior of its own. Labels that are no
candidates are represented by a random sample, each counted as often as it stands for others: a
document's observed label is always a candidate, and among the best candidates alone it would look
likely enough to explain every wrong id.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize

from models.arrays import Floats
from models.curation.documents import UNKNOWN, Flags, Ints

ROUNDS = 5
EM_STEPS = 4
"""Of expectation-maximisation for the rates, in each round."""
INITIAL_NOISE_RATE = 0.1
PRIOR_STRENGTH = 10.0
"""Documents that the ratios of the initial weights count as much as."""
MIN_NOISE_RATE = 1e-5
MAX_SAMPLES = 8192
"""Labelled documents that a handful of weights are learned from; more are thinned evenly."""


@dataclass(frozen=True, eq=False)
class NoiseModel:
    """The learned parameters: ``weights`` (e,) of the kinds of evidence; the rest are shares, 0..1.

    ``noise_rate`` ε; ``sibling_share`` β; ``outlier_share`` of documents that belong to no label.
    """

    weights: Floats
    noise_rate: float
    sibling_share: float
    outlier_share: float


@dataclass(frozen=True, eq=False)
class Observations:
    """What the model is fitted to: n documents, m candidates each, e kinds of evidence.

    Attributes:
        candidates: (n, m) labels, UNKNOWN where there are fewer.
        evidence: (n, m, e), in nats for the candidate against a document at random.
        observed: (n,) noisy labels, UNKNOWN for none.
        leaves: (u,) number of each label's leaf category.
        multiplicity: (n, m) how many labels a candidate stands for: 1, or more if it was sampled.
    """

    candidates: Ints
    evidence: Floats
    observed: Ints
    leaves: Ints
    multiplicity: Floats


def log_class_probabilities(data: Observations, model: NoiseModel) -> Floats:
    """log P(c | x), without the observed label, of "none" and every candidate: (n, 1 + m)."""
    scores = np.empty((len(data.observed), 1 + data.candidates.shape[1]))
    scores[:, 1:] = np.where(
        data.candidates == UNKNOWN,
        -np.inf,
        data.evidence @ model.weights.astype(np.float64) + np.log(data.multiplicity),
    )
    labels = max(len(data.leaves), 1)
    # All labels are equally likely a priori; "none" has its share against all of them together.
    scores[:, 0] = np.log(labels * model.outlier_share / (1 - model.outlier_share))
    top = scores.max(axis=1, keepdims=True)
    logs: Floats = scores - top - np.log(np.exp(scores - top).sum(axis=1, keepdims=True))
    return logs


def posterior(data: Observations, model: NoiseModel) -> Floats:
    """P(c | x, y) of "none" and every candidate: (n, 1 + m), rows sum to 1."""
    joint = log_class_probabilities(data, model) + np.log(_transition_probabilities(data, model))
    joint -= joint.max(axis=1, keepdims=True)
    found: Floats = np.exp(joint)
    found /= found.sum(axis=1, keepdims=True)
    return found


def fit_noise_model(
    data: Observations, initial_weights: Floats, fixed: Flags | None = None
) -> NoiseModel:
    """Maximise the likelihood of the observed labels, from ``initial_weights`` (e,).

    With few labelled documents the weights stay near the initial ones. ``fixed`` (e,) weights stay
    there altogether: where evidence has few values, as links have, wrong evidence and wrong ids
    explain the data equally well, and only prior knowledge separates them.
    """
    initial: Floats = np.asarray(initial_weights, np.float64)
    free = np.ones(len(initial), bool) if fixed is None else ~fixed
    rows = np.flatnonzero(data.observed != UNKNOWN)
    rows = rows[:: -(-len(rows) // MAX_SAMPLES) or 1]
    model = NoiseModel(initial, INITIAL_NOISE_RATE, 0.5, 0.01)
    if not len(rows):
        return model
    sample = Observations(
        data.candidates[rows],
        data.evidence[rows],
        data.observed[rows],
        data.leaves,
        data.multiplicity[rows],
    )
    for _ in range(ROUNDS):
        for _ in range(EM_STEPS):
            model = _em_step(sample, model)
        model = _fit_weights(sample, model, initial, free)
    for _ in range(EM_STEPS):
        model = _em_step(sample, model)
    return model


def _transition_probabilities(data: Observations, model: NoiseModel) -> Floats:
    """T(y | c) of "none" and every candidate, (n, 1 + m); 1 where there is no observed label."""
    labels = max(len(data.leaves), 2)
    sizes = np.bincount(data.leaves, minlength=1)
    at = np.maximum(data.candidates, 0)
    observed = data.observed[:, None]
    same = data.candidates == observed
    sibling = ~same & (data.leaves[at] == data.leaves[np.maximum(observed, 0)])
    siblings = np.maximum(sizes[data.leaves[at]] - 1, 1)
    other = (1 - model.sibling_share) / (labels - 1) + model.sibling_share * sibling / siblings
    found = np.empty((len(observed), 1 + data.candidates.shape[1]))
    found[:, 1:] = np.where(same, 1 - model.noise_rate, model.noise_rate * other)
    found[:, 0] = 1 / labels
    return np.where(observed == UNKNOWN, 1.0, np.maximum(found, 1e-12))


def _em_step(data: Observations, model: NoiseModel) -> NoiseModel:
    """One step of expectation-maximisation for ε, β and the share of "none"."""
    after = posterior(data, model)
    observed = data.observed[:, None]
    there = data.candidates != UNKNOWN
    off = after[:, 1:] * (there & (data.candidates != observed))
    same_leaf = data.leaves[np.maximum(data.candidates, 0)] == data.leaves[np.maximum(observed, 0)]
    n, labels = len(observed), max(len(data.leaves), 2)
    wrong = float(off.sum())
    belongs = float(after[:, 1:].sum())
    sizes = np.bincount(data.leaves, minlength=1)
    # Of the wrong ids within a leaf, those expected there by chance are not due to β.
    chance = float((sizes * (sizes - 1)).sum()) / max(labels * (labels - 1), 1)
    within = float((off * same_leaf).sum()) / max(wrong, 1e-9)
    sibling_share = (within - chance) / max(1 - chance, 1e-9)
    return NoiseModel(
        model.weights,
        float(np.clip((wrong + MIN_NOISE_RATE) / (belongs + 1), MIN_NOISE_RATE, 0.6)),
        float(np.clip(sibling_share, 0.02, 0.98)),
        float(np.clip((after[:, 0].sum() + 0.01) / (n + 1), 1e-4, 0.5)),
    )


def _fit_weights(data: Observations, model: NoiseModel, initial: Floats, free: Flags) -> NoiseModel:
    """Weights of maximum posterior, with a prior at the initial ones (L-BFGS in logarithms)."""
    if not free.any():
        return model
    transition = np.log(_transition_probabilities(data, model))

    def weights_of(logs: Floats) -> Floats:
        weights: Floats = initial.copy()
        weights[free] *= np.exp(logs)
        return weights

    def cost(logs: Floats) -> tuple[float, Floats]:
        weights = weights_of(logs)
        before = log_class_probabilities(data, replace(model, weights=weights))
        joint = before + transition
        top = joint.max(axis=1, keepdims=True)
        likelihood = top[:, 0] + np.log(np.exp(joint - top).sum(axis=1))
        after = np.exp(joint - likelihood[:, None])
        gradient = np.einsum("nm,nme->e", (after - np.exp(before))[:, 1:], data.evidence)
        # The ratios of the weights have a strong prior, their common scale a weak one.
        ratios, scale = logs - logs.mean(), logs.mean()
        loss = -likelihood.sum() + PRIOR_STRENGTH / 2 * (ratios**2).sum() + scale**2 / 2
        slope = -(gradient * weights)[free] + PRIOR_STRENGTH * ratios + scale / len(logs)
        return float(loss), slope

    begin = np.log(np.maximum(model.weights, 1e-6) / initial)[free]
    found = minimize(cost, begin, jac=True, method="L-BFGS-B", options={"maxiter": 12})
    return replace(model, weights=weights_of(found.x))
