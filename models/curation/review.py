"""Review: which ids are wrong, and where their documents belong.

The evidence of all sources is combined by the noise model (`models.curation.noise_model`), and
memberships follow its posterior for a few rounds: a doubtful member no longer shapes the cluster
that it is doubtful in. An id is called wrong only if

- it is more likely wrong than right, and its probability is among the lowest of all, as far down
  the list as the expected share of false alarms stays below `FALSE_DISCOVERY_RATE` (local false
  discovery rate, Efron 2004), and
- no source of evidence prefers the observed id.

That an id is wrong is often certain where it is not which one is right: a dark photo is surely no
kettle, and may be either of two mugs. So where it belongs is decided only afterwards. It is
relabelled as the most probable other id, and pruned if it more probably belongs to none, or no
other id is more probable than the observed one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.arrays import Floats
from models.curation.documents import UNKNOWN, Documents, Flags, Ints
from models.curation.evidence_sources import (
    Evidence,
    Reranker,
    collect_evidence,
    reranker_evidence,
)
from models.curation.noise_model import NoiseModel, Observations, fit_noise_model, posterior
from models.curation.organize import Clusters
from models.curation.view_space import ViewSpace, fit_view_space

ROUNDS = 3
"""The third finds more where views separate well and errs more where they do not: with frozen
features on rendered products, a fifth of the ids swapped within their leaf, 39 % at a precision of
0.87 against 36 % at 0.96 after two; where clusters are clear, 71 % against 60 %, both at 0.99."""
FALSE_DISCOVERY_RATE = 0.03
"""Expected share of right ids among those that are called wrong, by the posterior."""
VETO = 0.5
"""Nats by which a source must prefer the observed id to keep it."""
WRONG_BELOW = 0.5
"""Probability of an id below which it is more likely wrong than right."""
OUTLIER_FROM = 0.5
"""Probability that a document belongs to no cluster, from which it is an outlier."""
SAMPLED_LABELS = 32
"""Labels sampled to represent all that are no candidates."""
MAX_CANDIDATES = 20
"""Candidates that are kept for the next round."""
RERANK_BELOW = 0.9
"""Probability of the own label below which a reranker is asked."""


@dataclass(frozen=True, eq=False)
class Review:
    """The result of review; rows are the documents.

    Attributes:
        candidates: (n, m) labels.
        probabilities: (n, 1 + m), posterior of "none" and of each candidate, rows sum to 1.
        own: (n,) probability of the cluster that each document was in; 0 where none.
        best_other: (n,) the most probable label other than that one.
        relabelled: (n,) the id is called wrong, ``best_other`` replaces it.
        outliers: (n,) belongs to no cluster, or the id is called wrong and no other is better.
        disputed: (n,) would be called wrong, but a source of evidence prefers the id.
        evidence: of all sources; ``model`` has its weights.
        view_spaces: the views, fitted with what the first round found of the labels.
    """

    candidates: Ints
    probabilities: Floats
    own: Floats
    best_other: Ints
    relabelled: Flags
    outliers: Flags
    disputed: Flags
    evidence: tuple[Evidence, ...]
    model: NoiseModel
    view_spaces: tuple[ViewSpace, ...]

    @property
    def weights(self) -> dict[str, float]:
        """The learned weight of each kind of evidence."""
        kinds = [kind for one in self.evidence for kind in one.kinds]
        return dict(zip(kinds, map(float, self.model.weights), strict=True))


def review(
    documents: Documents,
    clusters: Clusters,
    view_spaces: tuple[ViewSpace, ...],
    reranker: Reranker | None = None,
    progress: Callable[[int, int], None] | None = None,
    *,
    false_discovery_rate: float = FALSE_DISCOVERY_RATE,
    rounds: int = ROUNDS,
) -> Review:
    """Estimate all memberships for some ``rounds``, at least one, and decide.

    ``progress`` is called with the rounds done and all of them. ``false_discovery_rate``, 0..1, is
    the expected share of right ids among those that are called wrong.
    """
    candidates, memberships = clusters.candidates, clusters.memberships
    leaves = leaf_numbers(documents, len(clusters.names))
    for number in range(rounds):
        listed = candidates.shape[1]
        candidates, multiplicity = with_sampled_labels(
            candidates, clusters.members, len(clusters.names)
        )
        memberships = np.pad(memberships, ((0, 0), (0, candidates.shape[1] - listed)))
        evidence = collect_evidence(
            documents, view_spaces, candidates, memberships, len(clusters.names)
        )
        data = Observations(
            candidates,
            np.concatenate([one.values for one in evidence], axis=2),
            documents.labels,
            leaves,
            multiplicity,
        )
        model = fit_noise_model(
            data,
            np.concatenate([one.initial_weights for one in evidence]),
            np.concatenate([np.full(len(one.kinds), one.fixed) for one in evidence]),
        )
        probabilities = posterior(data, model)
        if progress:
            progress(number + 1, rounds)
        if number == rounds - 1:
            break
        candidates, memberships = _most_probable(
            candidates[:, :listed], probabilities[:, : 1 + listed], clusters.members
        )
        if number == 0:
            # Fit the spaces again, without the members that the first round found doubtful.
            weights = _probability_of(candidates, memberships, documents.labels)
            view_spaces = tuple(
                fit_view_space(view, documents.labels, weights) for view in documents.views
            )
    if reranker is not None:
        own = _probability_of(candidates, probabilities[:, 1:], clusters.members)
        rows = np.flatnonzero((own < RERANK_BELOW) & (clusters.members != UNKNOWN))
        not_sampled = np.arange(candidates.shape[1]) < listed
        compared = reranker_evidence(
            reranker,
            rows,
            candidates,
            memberships,
            np.where(not_sampled, probabilities[:, 1:], 0),
        )[..., None]
        evidence = (*evidence, Evidence("reranker", ("reranker",), compared, (1.0,)))
        model = replace(model, weights=np.append(model.weights, 1.0))
        data = replace(data, evidence=np.concatenate([data.evidence, compared], axis=2))
        probabilities = posterior(data, model)
    return _decide(
        documents.labels != UNKNOWN,
        clusters.members,
        candidates,
        listed,
        probabilities,
        evidence,
        model,
        view_spaces,
        false_discovery_rate,
    )


def preferences(
    evidence: Sequence[Evidence], model: NoiseModel, here: Ints, there: Ints
) -> dict[str, Floats]:
    """Nats by which each source prefers candidate column ``there`` (n,) to ``here`` (n,)."""
    rows, at = np.arange(len(here)), 0
    found: dict[str, Floats] = {}
    for one in evidence:
        weights = model.weights[at : at + len(one.kinds)]
        at += len(one.kinds)
        nats = (one.values[rows, there] - one.values[rows, here]) @ weights
        found[one.source] = (found.get(one.source, 0) + nats).astype(np.float32)
    return found


def with_sampled_labels(candidates: Ints, members: Ints, clusters: int) -> tuple[Ints, Floats]:
    """Candidates (n, m) and a sample of other labels, and what each stands for: (n, m + d).

    The sample depends on the document's own label alone.
    """
    steps = np.random.default_rng(0).permutation(np.arange(1, max(clusters, 1)))[:SAMPLED_LABELS]
    sampled = (np.maximum(members, 0)[:, None] + steps) % max(clusters, 1)
    known = (sampled[:, :, None] == candidates[:, None, :]).any(axis=2)
    sampled = np.where(known, UNKNOWN, sampled)
    others = clusters - (candidates != UNKNOWN).sum(axis=1)
    each = others / np.maximum((sampled != UNKNOWN).sum(axis=1), 1)
    multiplicity = np.ones((len(members), candidates.shape[1] + len(steps)), np.float32)
    multiplicity[:, candidates.shape[1] :] = np.maximum(each, 1)[:, None]
    return np.concatenate([candidates, sampled], axis=1), multiplicity


def leaf_numbers(documents: Documents, clusters: int) -> Ints:
    """A number for each cluster's leaf category; clusters without one have their own."""
    paths = [*documents.label_categories, *[()] * clusters][:clusters]
    numbers: dict[object, int] = {}
    return np.array(
        [numbers.setdefault(path or at, len(numbers)) for at, path in enumerate(paths)], np.int64
    )


def _decide(
    labelled: Flags,
    members: Ints,
    candidates: Ints,
    listed: int,
    probabilities: Floats,
    evidence: tuple[Evidence, ...],
    model: NoiseModel,
    view_spaces: tuple[ViewSpace, ...],
    false_discovery_rate: float,
) -> Review:
    """Which ids are wrong; the first ``listed`` candidates may replace them, others are sampled."""
    rows = np.arange(len(members))
    own = _probability_of(candidates, probabilities[:, 1:], members)
    others = np.where(
        (candidates == UNKNOWN) | (candidates == members[:, None]), -1.0, probabilities[:, 1:]
    )
    others[:, listed:] = -1.0
    at = others.argmax(axis=1)
    some = others[rows, at] > 0
    best_other = np.where(some, candidates[rows, at], UNKNOWN)
    inside = members != UNKNOWN
    suspected = labelled & (own < WRONG_BELOW)
    suspected &= _lowest(own, suspected, false_discovery_rate)
    # A document's own cluster is always its first candidate.
    preferred = preferences(evidence, model, np.zeros_like(at), at)
    no_veto = np.all([nats > -VETO for nats in preferred.values()], axis=0)
    wrong = suspected & no_veto
    outlier = probabilities[:, 0] > OUTLIER_FROM
    placed = some & (others[rows, at] > own) & ~outlier
    outlier |= ~inside & (probabilities[:, 0] >= others[rows, at])
    return Review(
        candidates,
        probabilities,
        own,
        best_other,
        wrong & placed,
        outlier | (wrong & ~placed),
        suspected & ~no_veto,
        evidence,
        model,
        view_spaces,
    )


def _lowest(own: Floats, among: Flags, limit: float) -> Flags:
    """The lowest probabilities among some rows whose mean is at most ``limit``, (n,)."""
    rows = np.flatnonzero(among)
    order = rows[np.argsort(own[rows], kind="stable")]
    mean = np.cumsum(own[order]) / np.arange(1, len(order) + 1)
    chosen = np.zeros(len(own), bool)
    chosen[order[mean <= limit]] = True
    return chosen


def _probability_of(candidates: Ints, probabilities: Floats, labels: Ints) -> Floats:
    """Probability of each row's label, (n,); 0 for UNKNOWN."""
    own = (candidates == labels[:, None]) & (candidates != UNKNOWN)
    found: Floats = np.where(own, probabilities, 0).sum(axis=1)
    return found


def _most_probable(candidates: Ints, probabilities: Floats, members: Ints) -> tuple[Ints, Floats]:
    """The most probable candidates, the own first, and their probabilities: (n, MAX_CANDIDATES)."""
    rank = np.where(candidates == UNKNOWN, -1.0, probabilities[:, 1:])
    rank[(candidates == members[:, None]) & (candidates != UNKNOWN)] = 2.0
    order = np.argsort(-rank, axis=1, kind="stable")[:, :MAX_CANDIDATES]
    memberships = np.take_along_axis(probabilities[:, 1:], order, 1).astype(np.float32)
    kept = np.take_along_axis(candidates, order, 1)
    return kept, np.where(kept == UNKNOWN, 0, memberships)
