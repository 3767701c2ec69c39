"""Review: every member of every cluster is judged; what drifts is pruned, with a reason.

The judges' evidence is pooled with what it is worth (`models.curation.noise_model`), and
memberships follow the pooled belief for a few rounds: what is doubted no longer shapes the cluster
it is doubted in. An id is called wrong only if

- it is rather wrong than right, and the belief in it is among the lowest of all, as far down the
  list as the share of errors that the beliefs themselves expect stays below `ERRORS` (local false
  discovery rate, Efron 2004), and
- no judge that has an opinion prefers the id as it came.

That an id is wrong is often certain where it is not which one is right: a dark photo is surely no
kettle, and may be either of two mugs. So where it belongs is asked only afterwards. It moves to the
most believed other id, and is pruned if it is likelier to belong to none, or no other id is more
likely than the one it came with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.arrays import Floats
from models.curation.documents import UNKNOWN, Documents, Flags, Ints
from models.curation.judges import Reranker, Testimony, second_opinion, testimonies
from models.curation.noise_model import Belief, Case, learn, posterior
from models.curation.organize import Clusters
from models.curation.view_space import Look, look

ROUNDS = 3
"""The third finds more where the views tell much and errs more where they tell little: with frozen
features on rendered products, a fifth of the ids swapped within their leaf, 39 % at a precision of
0.87 against 36 % at 0.96 after two; where clusters are clear, 71 % against 60 %, both at 0.99."""
ERRORS = 0.03
"""Share of the ids called wrong that may be right after all, as far as the beliefs can tell."""
AGAINST = 0.5
"""Nats by which a judge must prefer the id as it came to keep it."""
EVEN = 0.5
"""Belief in an id below which it is rather wrong than right."""
LOST = 0.5
"""Belief that a document belongs to no cluster from which it is an outlier."""
DRAWN = 32
"""Labels drawn at random to stand for all that are no candidates."""
KEPT = 20
"""Candidates that go on to the next round."""
DOUBT = 0.9
"""Belief in the own label below which a reranker is asked."""


@dataclass(frozen=True, eq=False)
class Review:
    """What review found, rows as the documents.

    Attributes:
        candidates: (n, m) labels; ``beliefs`` (n, 1 + m) in "none" and in each, rows sum to 1.
        own: (n,) belief in the label of the cluster that each document was in; 0 where none.
        best: (n,) the most believed label other than that one.
        wrong: (n,) called wrong, ``best`` is given instead.
        lost: (n,) belongs to no cluster, or is called wrong with no better one to go to.
        disputed: (n,) would be called wrong, but the judges disagree.
        testimonies: the judges' evidence; ``belief`` is what it was found to be worth.
    """

    candidates: Ints
    beliefs: Floats
    own: Floats
    best: Ints
    wrong: Flags
    lost: Flags
    disputed: Flags
    testimonies: tuple[Testimony, ...]
    belief: Belief
    looks: tuple[Look, ...]

    @property
    def weights(self) -> dict[str, float]:
        """What each kind of evidence was found to be worth."""
        kinds = [kind for one in self.testimonies for kind in one.kinds]
        return dict(zip(kinds, map(float, self.belief.weights), strict=True))


def review(
    documents: Documents,
    clusters: Clusters,
    looks: tuple[Look, ...],
    reranker: Reranker | None = None,
    progress: Callable[[int, int], None] | None = None,
    *,
    errors: float = ERRORS,
    rounds: int = ROUNDS,
) -> Review:
    """Judge all memberships for some ``rounds``, at least one.

    ``progress`` is told the rounds done and all of them; ``errors`` (0..1) is the share of the ids
    called wrong that may be right.
    """
    candidates, shares = clusters.candidates, clusters.shares
    leaves = leaf_numbers(documents, len(clusters.names))
    for turn in range(rounds):
        listed = candidates.shape[1]
        candidates, alias_of = with_others(candidates, clusters.members, len(clusters.names))
        shares = np.pad(shares, ((0, 0), (0, candidates.shape[1] - listed)))
        said = testimonies(documents, looks, candidates, shares, len(clusters.names))
        case = Case(
            candidates,
            np.concatenate([one.evidence for one in said], axis=2),
            documents.labels,
            leaves,
            alias_of,
        )
        belief = learn(
            case,
            np.concatenate([one.start for one in said]),
            np.concatenate([np.full(len(one.kinds), one.known) for one in said]),
        )
        beliefs = posterior(case, belief)
        if progress:
            progress(turn + 1, rounds)
        if turn == rounds - 1:
            break
        candidates, shares = _narrowed(
            candidates[:, :listed], beliefs[:, : 1 + listed], clusters.members
        )
        if turn == 0:
            # Spaces learned without the members that the first round came to doubt.
            trust = _belief_in(candidates, shares, documents.labels)
            looks = tuple(look(view, documents.labels, trust) for view in documents.views)
    hopeful = np.where(np.arange(candidates.shape[1]) < listed, beliefs[:, 1:], 0)
    if reranker is not None:
        own = _belief_in(candidates, beliefs[:, 1:], clusters.members)
        doubted = np.flatnonzero((own < DOUBT) & (clusters.members != UNKNOWN))
        asked = second_opinion(reranker, doubted, candidates, shares, hopeful)
        said = (*said, Testimony("reranker", ("reranker",), asked[..., None], (1.0,)))
        belief = Belief(np.append(belief.weights, 1.0), belief.wrong, belief.siblings, belief.none)
        case = replace(case, evidence=np.concatenate([case.evidence, asked[..., None]], axis=2))
        beliefs = posterior(case, belief)
    came = documents.labels != UNKNOWN
    return _decided(
        came, clusters.members, candidates, listed, beliefs, said, belief, looks, errors
    )


def preferences(
    said: Sequence[Testimony], belief: Belief, here: Ints, there: Ints
) -> dict[str, Floats]:
    """Nats by which each judge prefers candidate column ``there`` (n,) to ``here`` (n,)."""
    rows, at = np.arange(len(here)), 0
    found: dict[str, Floats] = {}
    for one in said:
        weights = belief.weights[at : at + len(one.kinds)]
        at += len(one.kinds)
        by = (one.evidence[rows, there] - one.evidence[rows, here]) @ weights
        found[one.judge] = (found.get(one.judge, 0) + by).astype(np.float32)
    return found


def with_others(candidates: Ints, members: Ints, clusters: int) -> tuple[Ints, Floats]:
    """Candidates (n, m) and some other labels, and how many labels each stands for, (n, m + d).

    Which others are drawn depends on the document's own label alone.
    """
    steps = np.random.default_rng(0).permutation(np.arange(1, max(clusters, 1)))[:DRAWN]
    drawn = (np.maximum(members, 0)[:, None] + steps) % max(clusters, 1)
    known = (drawn[:, :, None] == candidates[:, None, :]).any(axis=2)
    drawn = np.where(known, UNKNOWN, drawn)
    beside = clusters - (candidates != UNKNOWN).sum(axis=1)
    each = beside / np.maximum((drawn != UNKNOWN).sum(axis=1), 1)
    alias_of = np.ones((len(members), candidates.shape[1] + len(steps)), np.float32)
    alias_of[:, candidates.shape[1] :] = np.maximum(each, 1)[:, None]
    return np.concatenate([candidates, drawn], axis=1), alias_of


def leaf_numbers(documents: Documents, clusters: int) -> Ints:
    """A number for each cluster's leaf category; those without a category are alone."""
    paths = [*documents.label_categories, *[()] * clusters][:clusters]
    numbers: dict[object, int] = {}
    return np.array(
        [numbers.setdefault(path or at, len(numbers)) for at, path in enumerate(paths)], np.int64
    )


def _decided(
    came: Flags,
    members: Ints,
    candidates: Ints,
    listed: int,
    beliefs: Floats,
    said: tuple[Testimony, ...],
    belief: Belief,
    looks: tuple[Look, ...],
    errors: float,
) -> Review:
    rows = np.arange(len(members))
    own = _belief_in(candidates, beliefs[:, 1:], members)
    others = np.where(
        (candidates == UNKNOWN) | (candidates == members[:, None]), -1.0, beliefs[:, 1:]
    )
    others[:, listed:] = -1.0  # drawn at random, to compare with
    at = others.argmax(axis=1)
    some = others[rows, at] > 0
    best = np.where(some, candidates[rows, at], UNKNOWN)
    inside = members != UNKNOWN
    doubted = came & (own < EVEN)
    doubted &= _unlikely(own, doubted, errors)
    # A document's own cluster is always its first candidate.
    prefer = preferences(said, belief, np.zeros_like(at), at)
    agreed = np.all([by > -AGAINST for by in prefer.values()], axis=0)
    wrong = doubted & agreed
    nowhere = beliefs[:, 0] > LOST
    placed = some & (others[rows, at] > own) & ~nowhere
    lost = nowhere | (~inside & (beliefs[:, 0] >= others[rows, at]))
    return Review(
        candidates,
        beliefs,
        own,
        best,
        wrong & placed,
        lost | (wrong & ~placed),
        doubted & ~agreed,
        said,
        belief,
        looks,
    )


def _unlikely(own: Floats, asked: Flags, errors: float) -> Flags:
    """The lowest beliefs among those asked whose mean is at most ``errors``, (n,)."""
    rows = np.flatnonzero(asked)
    order = rows[np.argsort(own[rows], kind="stable")]
    mean = np.cumsum(own[order]) / np.arange(1, len(order) + 1)
    chosen = np.zeros(len(own), bool)
    chosen[order[mean <= errors]] = True
    return chosen


def _belief_in(candidates: Ints, shares: Floats, labels: Ints) -> Floats:
    """Share of each row that is in its label, (n,); 0 for UNKNOWN."""
    own = (candidates == labels[:, None]) & (candidates != UNKNOWN)
    found: Floats = np.where(own, shares, 0).sum(axis=1)
    return found


def _narrowed(candidates: Ints, beliefs: Floats, members: Ints) -> tuple[Ints, Floats]:
    """The most believed candidates, the own first: labels and shares, (n, KEPT) each."""
    rank = np.where(candidates == UNKNOWN, -1.0, beliefs[:, 1:])
    rank[(candidates == members[:, None]) & (candidates != UNKNOWN)] = 2.0
    order = np.argsort(-rank, axis=1, kind="stable")[:, :KEPT]
    shares = np.take_along_axis(beliefs[:, 1:], order, 1).astype(np.float32)
    kept = np.take_along_axis(candidates, order, 1)
    return kept, np.where(kept == UNKNOWN, 0, shares)
