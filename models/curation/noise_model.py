"""What the evidence is worth, learned from the ids without believing them.

A document's true label c is drawn by the pooled evidence, and the id it came with from c through a
noisy channel:

    P(c | x) ∝ exp(Σ_e w_e · f_e(x, c)),      P(y | x) = Σ_c P(c | x) · T(y | c),
    T(y | c) = (1 − ε)·[y = c] + ε·(β / siblings(c)·[same leaf] + (1 − β) / labels).

The weights w ≥ 0, the share of wrong ids ε and their preference for siblings β make the ids as they
came most likely; so unreliable evidence gets a small weight, whatever its scale, and clean ids give
ε → 0. The channel is that of Dawid and Skene (1979) and of confident learning (Northcutt et al.
2021). Evidence must not read the document's own label, or w would learn to repeat it.

Candidate 0 stands for "none of them", with no evidence and a prior of its own. Of the labels that
are no candidates a few are drawn at random, and each stands for many: a document's own label is
always a candidate, and compared with the best alone it would look good enough to explain every
wrong id.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from models.arrays import Floats
from models.curation.documents import UNKNOWN, Flags, Ints

ROUNDS = 5
STEPS = 4
"""Of expectation-maximisation for the shares in each round."""
START_WRONG = 0.1
TRUST = 10.0
"""Documents that the starting weights, relative to each other, count as much as."""
LEAST = 1e-5
ENOUGH = 8192
"""Labelled documents that a handful of weights are learned from; more are thinned evenly."""


@dataclass(frozen=True, eq=False)
class Belief:
    """The learned channel. ``weights`` (e,) of the kinds of evidence; the rest are shares, 0..1.

    ``wrong`` ε, ``siblings`` β, ``none`` the share of documents that belong to no label.
    """

    weights: Floats
    wrong: float
    siblings: float
    none: float


@dataclass(frozen=True, eq=False)
class Case:
    """What beliefs are formed on: n documents, m candidates each, e kinds of evidence.

    Attributes:
        candidates: (n, m) labels, UNKNOWN where there are fewer.
        evidence: (n, m, e), in nats for the candidate against a document at random.
        given: (n,) labels as they came, UNKNOWN for none.
        leaves: (u,) number of each label's leaf category.
        alias_of: (n, m) how many labels a candidate stands for: 1, or more where it was drawn.
    """

    candidates: Ints
    evidence: Floats
    given: Ints
    leaves: Ints
    alias_of: Floats


def pooled(case: Case, belief: Belief) -> Floats:
    """log P(c | x), without the id, of "none" and every candidate: (n, 1 + m)."""
    scores = np.empty((len(case.given), 1 + case.candidates.shape[1]))
    scores[:, 1:] = np.where(
        case.candidates == UNKNOWN,
        -np.inf,
        case.evidence @ belief.weights.astype(np.float64) + np.log(case.alias_of),
    )
    labels = max(len(case.leaves), 1)
    # Every label is as likely as the next; "none" holds its share against all of them.
    scores[:, 0] = np.log(labels * belief.none / (1 - belief.none))
    top = scores.max(axis=1, keepdims=True)
    logs: Floats = scores - top - np.log(np.exp(scores - top).sum(axis=1, keepdims=True))
    return logs


def posterior(case: Case, belief: Belief) -> Floats:
    """P(c | x, y) of "none" and every candidate: (n, 1 + m), rows summing to 1."""
    joint = pooled(case, belief) + np.log(_channel(case, belief))
    joint -= joint.max(axis=1, keepdims=True)
    shares: Floats = np.exp(joint)
    shares /= shares.sum(axis=1, keepdims=True)
    return shares


def learn(case: Case, start: Floats, known: Flags | None = None) -> Belief:
    """The belief that makes the ids most likely; ``start`` (e,) are weights to begin with.

    With few labelled documents it stays near the start. Weights that are ``known`` (e,) stay there
    altogether: where evidence has few values, as links have, its being wrong and the ids' being
    wrong explain what is seen equally well, and only what is known beforehand tells them apart.
    """
    free = np.ones(len(start), bool) if known is None else ~known
    rows = np.flatnonzero(case.given != UNKNOWN)
    rows = rows[:: -(-len(rows) // ENOUGH) or 1]
    belief = Belief(np.asarray(start, np.float64), START_WRONG, 0.5, 0.01)
    if not len(rows):
        return belief
    seen = Case(
        case.candidates[rows],
        case.evidence[rows],
        case.given[rows],
        case.leaves,
        case.alias_of[rows],
    )
    for _ in range(ROUNDS):
        for _ in range(STEPS):
            belief = _shares(seen, belief)
        belief = _weights(seen, belief, np.asarray(start, np.float64), free)
    for _ in range(STEPS):
        belief = _shares(seen, belief)
    return belief


def _channel(case: Case, belief: Belief) -> Floats:
    """T(y | c) of "none" and every candidate, (n, 1 + m); 1 where there is no id."""
    labels = max(len(case.leaves), 2)
    sizes = np.bincount(case.leaves, minlength=1)
    at = np.maximum(case.candidates, 0)
    given = case.given[:, None]
    same = case.candidates == given
    kin = ~same & (case.leaves[at] == case.leaves[np.maximum(given, 0)])
    siblings = np.maximum(sizes[case.leaves[at]] - 1, 1)
    other = (1 - belief.siblings) / (labels - 1) + belief.siblings * kin / siblings
    through = np.empty((len(given), 1 + case.candidates.shape[1]))
    through[:, 1:] = np.where(same, 1 - belief.wrong, belief.wrong * other)
    through[:, 0] = 1 / labels
    return np.where(given == UNKNOWN, 1.0, np.maximum(through, 1e-12))


def _shares(case: Case, belief: Belief) -> Belief:
    """One step of expectation-maximisation for ε, β and the share of "none"."""
    after = posterior(case, belief)
    given = case.given[:, None]
    there = case.candidates != UNKNOWN
    off = after[:, 1:] * (there & (case.candidates != given))
    kin = off * (case.leaves[np.maximum(case.candidates, 0)] == case.leaves[np.maximum(given, 0)])
    n, labels = len(given), max(len(case.leaves), 2)
    wrong = float(off.sum())
    some = float(after[:, 1:].sum())
    sizes = np.bincount(case.leaves, minlength=1)
    # Of the wrong ids within a leaf, those expected there anyway are not from siblings.
    chance = float((sizes * (sizes - 1)).sum()) / max(labels * (labels - 1), 1)
    ratio = float(kin.sum()) / max(wrong, 1e-9)
    siblings = (ratio - chance) / max(1 - chance, 1e-9)
    return Belief(
        belief.weights,
        float(np.clip((wrong + LEAST) / (some + 1), LEAST, 0.6)),
        float(np.clip(siblings, 0.02, 0.98)),
        float(np.clip((after[:, 0].sum() + 0.01) / (n + 1), 1e-4, 0.5)),
    )


def _weights(case: Case, belief: Belief, start: Floats, free: Flags) -> Belief:
    """The weights that make the ids most likely, near the start where they decide nothing."""
    if not free.any():
        return belief
    channel = np.log(_channel(case, belief))

    def weights_of(logs: Floats) -> Floats:
        weights: Floats = start.copy()
        weights[free] *= np.exp(logs)
        return weights

    def cost(logs: Floats) -> tuple[float, Floats]:
        weights = weights_of(logs)
        before = pooled(case, Belief(weights, belief.wrong, belief.siblings, belief.none))
        joint = before + channel
        top = joint.max(axis=1, keepdims=True)
        likely = top[:, 0] + np.log(np.exp(joint - top).sum(axis=1))
        after = np.exp(joint - likely[:, None])
        pull = np.einsum("nm,nme->e", (after - np.exp(before))[:, 1:], case.evidence)
        # How sharp the evidence is as a whole is for the ids to say, with hardly a prior.
        off, whole = logs - logs.mean(), logs.mean()
        loss = -likely.sum() + TRUST / 2 * (off**2).sum() + whole**2 / 2
        slope = -(pull * weights)[free] + TRUST * off + whole / len(logs)
        return float(loss), slope

    begin = np.log(np.maximum(belief.weights, 1e-6) / start)[free]
    found = minimize(cost, begin, jac=True, method="L-BFGS-B", options={"maxiter": 12})
    return Belief(weights_of(found.x), belief.wrong, belief.siblings, belief.none)
