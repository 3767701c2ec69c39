"""The four steps on planted clusters: wrong ids are found, right ones are kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.curation.curate import Curated, Decision, curate
from models.curation.documents import UNKNOWN, Documents, Ints, View
from models.curation.label_noise import corrupt, recovery
from models.curation.propose import Click, behaviour_links
from tests.models.planted_clusters import documents, leaves, truth_of, vectors

LABELS = 16
few = settings(max_examples=4)


def planted(share: float = 0.2, seed: int = 0, *, within: bool = False) -> tuple[Documents, Ints]:
    truth = truth_of(LABELS, seed=seed)
    given_ = corrupt(truth, share, seed, leaves(LABELS) if within else None)
    return documents(given_, View("picture", vectors(truth)), labels=LABELS), truth


def recovered(docs: Documents, truth: Ints, found: Curated) -> tuple[float, float]:
    measured = recovery(truth, docs.labels, found.flagged, found.suggested)
    return measured.recovered, measured.precision


@pytest.mark.parametrize("within", [False, True], ids=["anywhere", "within the leaf"])
def test_a_fifth_of_the_ids_wrong_is_corrected(within: bool) -> None:
    docs, truth = planted(within=within)
    found = curate(docs)
    share, precision = recovered(docs, truth, found)
    assert share >= 0.9
    assert precision >= 0.95
    assert (found.labels == truth).mean() > 0.97
    assert found.review.model.noise_rate == pytest.approx(0.2, abs=0.06)


def test_nothing_is_pruned_where_nothing_is_wrong_and_curating_twice_changes_nothing() -> None:
    docs, truth = planted(share=0.0)
    found = curate(docs)
    assert set(found.decisions) == {Decision.KEPT}
    np.testing.assert_array_equal(found.labels, truth)
    assert found.weights.min() > 0.5

    noisy, _ = planted()
    once = curate(noisy)
    again = curate(noisy.with_labels(once.labels))
    assert not again.flagged.any()


@few
@given(st.integers(0, 100))
def test_the_order_of_the_documents_does_not_matter(seed: int) -> None:
    docs, _ = planted()
    order = np.random.default_rng(seed).permutation(len(docs))
    shuffled = documents(
        docs.labels[order], View("picture", docs.views[0].vectors[order]), labels=LABELS
    )
    here, there = curate(docs), curate(shuffled)
    np.testing.assert_array_equal(here.labels[order], there.labels)
    assert [here.decisions[row] for row in order] == list(there.decisions)
    np.testing.assert_allclose(here.weights[order], there.weights, atol=0.02)


def test_a_duplicate_does_not_confirm_itself() -> None:
    docs, _ = planted()
    wrong = np.flatnonzero(curate(docs).flagged)
    rows = np.concatenate([np.arange(len(docs)), wrong, wrong])
    copied = documents(
        docs.labels[rows], View("picture", docs.views[0].vectors[rows]), labels=LABELS
    )
    one, other = curate(docs), curate(copied)
    assert other.plan.duplicates == 2 * len(wrong)
    np.testing.assert_array_equal(one.labels[rows], other.labels)
    np.testing.assert_array_equal(one.weights[rows], other.weights)


@few
@given(st.integers(0, 100))
def test_an_unrelated_document_changes_nothing_for_the_others(seed: int) -> None:
    docs, _ = planted()
    stranger = np.random.default_rng(seed).normal(size=(1, docs.views[0].vectors.shape[1]))
    stranger = (stranger / np.linalg.norm(stranger)).astype(np.float32)
    more = documents(
        np.append(docs.labels, UNKNOWN),
        View("picture", np.concatenate([docs.views[0].vectors, stranger])),
        labels=LABELS,
    )
    np.testing.assert_array_equal(curate(docs).labels, curate(more).labels[:-1])


def test_every_change_has_an_explanation_and_what_is_kept_has_none() -> None:
    docs, _ = planted()
    found = curate(docs)
    for decision, explanation in zip(found.decisions, found.explanations, strict=True):
        assert (explanation == "") == (decision is Decision.KEPT)
    flagged = [text for text, one in zip(found.explanations, found.flagged, strict=True) if one]
    assert all("than its own cluster by" in text for text in flagged)
    assert any("neighbours vote P-" in text for text in flagged)


def test_an_id_is_called_wrong_even_where_none_is_right() -> None:
    docs, truth = planted()
    wrong = docs.labels != truth
    pictures = docs.views[0].vectors.copy()
    # Pictures of nothing in the catalog.
    pictures[wrong] = vectors(np.arange(int(wrong.sum())), seed=7)
    found = curate(documents(docs.labels, View("picture", pictures), labels=LABELS))
    measured = recovery(truth, docs.labels, found.flagged, found.suggested)
    assert measured.flagged >= 0.9
    assert measured.precision >= 0.95
    for row in np.flatnonzero(found.flagged & (found.suggested == UNKNOWN)):
        assert found.decisions[row] is Decision.PRUNED
        assert found.labels[row] == UNKNOWN
        assert found.explanations[row]


def test_documents_without_an_id_join_the_clusters_they_show() -> None:
    docs, truth = planted(share=0.0)
    hidden = np.random.default_rng(1).random(len(truth)) < 0.3
    found = curate(docs.with_labels(np.where(hidden, UNKNOWN, truth)))
    assert (found.labels[hidden] == truth[hidden]).mean() > 0.95
    assert {found.decisions[row] for row in np.flatnonzero(hidden)} <= {
        Decision.ASSIGNED,
        Decision.UNASSIGNED,
    }
    assert not found.flagged.any()


def test_a_product_without_any_id_becomes_a_new_cluster() -> None:
    docs, truth = planted(share=0.0)
    hidden = truth == 9
    found = curate(docs.with_labels(np.where(hidden, UNKNOWN, truth)))
    new = np.unique(found.labels[hidden])
    assert found.clusters.new >= 1
    assert len(new) == 1
    assert found.names[new[0]].startswith("new:")
    np.testing.assert_array_equal(found.labels[~hidden], truth[~hidden])


def test_without_any_id_there_are_only_new_clusters() -> None:
    docs, truth = planted(share=0.0)
    found = curate(docs.with_labels(np.full(len(truth), UNKNOWN)))
    assert found.plan.tiers == ("inference",)
    for label in np.unique(found.labels[found.labels != UNKNOWN]):
        together = set(truth[found.members(int(label))])
        assert len(together) == 1 or together <= {0, 4}, "only near duplicates may fall together"


def test_text_alone_is_enough() -> None:
    truth = truth_of(LABELS)
    texts = vectors(truth, seed=5)
    no_picture = np.zeros_like(texts)
    given_ = corrupt(truth, 0.2, 0)
    docs = documents(
        given_, View("picture", no_picture), View("text", texts, source="text"), labels=LABELS
    )
    share, precision = recovered(docs, truth, curate(docs))
    assert share >= 0.9
    assert precision >= 0.95


def test_text_separates_near_duplicates_that_pictures_do_not() -> None:
    truth = truth_of(LABELS)
    given_ = corrupt(truth, 0.2, 0, leaves(LABELS))
    # Pictures show the leaf category and hardly more.
    blurred = vectors(truth, noise=1.2)
    texts = vectors(truth, seed=5)
    texts[np.random.default_rng(2).random(len(truth)) < 0.2] = 0
    pictures = documents(given_, View("picture", blurred), labels=LABELS)
    both = documents(
        given_, View("picture", blurred), View("text", texts, source="text"), labels=LABELS
    )
    assert recovered(both, truth, curate(both))[0] > recovered(pictures, truth, curate(pictures))[0]


def test_links_alone_are_enough() -> None:
    truth = truth_of(LABELS)
    given_ = corrupt(truth, 0.2, 0)
    clicks = [Click(row, int(label), position=2, count=8) for row, label in enumerate(truth)]
    nothing = View("picture", np.zeros((len(truth), 4), np.float32))
    docs = documents(given_, nothing, labels=LABELS, links=behaviour_links(clicks))
    found = curate(docs)
    share, precision = recovered(docs, truth, found)
    assert share >= 0.9
    assert precision >= 0.95
    assert all(
        "clicks tie it to" in found.explanations[row] for row in np.flatnonzero(found.flagged)
    )


def test_a_source_that_disagrees_keeps_the_id_and_is_named() -> None:
    truth = truth_of(LABELS)
    given_ = corrupt(truth, 0.2, 0)
    # The texts were copied from the wrong ids, so they confirm them.
    docs = documents(
        given_,
        View("picture", vectors(truth)),
        View("text", vectors(given_, seed=5), source="text"),
        labels=LABELS,
    )
    found = curate(docs)
    assert not found.flagged[truth != given_].any()
    for row, decision in enumerate(found.decisions):
        if decision is Decision.DISPUTED:
            assert "would keep it" in found.explanations[row]
            assert found.labels[row] == given_[row]


@dataclass
class Oracle:
    """A reranker that knows the truth."""

    truth: Ints
    asked: int = 0

    def score(self, query_index: int, candidate_index: int) -> float:
        self.asked += 1
        return 0.99 if self.truth[query_index] == self.truth[candidate_index] else 0.01


def test_a_reranker_is_asked_only_about_doubtful_documents_and_helps() -> None:
    truth = truth_of(LABELS)
    given_ = corrupt(truth, 0.2, 0, leaves(LABELS))
    docs = documents(given_, View("picture", vectors(truth, noise=0.9)), labels=LABELS)
    oracle = Oracle(truth)
    alone, helped = curate(docs), curate(docs, reranker=oracle)
    assert 0 < oracle.asked < 12 * len(truth)
    assert recovered(docs, truth, helped)[0] > recovered(docs, truth, alone)[0]
    assert "reranker" in helped.review.weights


def test_centroids_are_those_of_the_purified_clusters() -> None:
    docs, truth = planted()
    seen = docs.views[0].vectors
    found = curate(docs)
    labels, centroids = found.centroids(seen)
    np.testing.assert_allclose(np.linalg.norm(centroids, axis=1), 1, atol=1e-5)
    assert list(labels) == sorted(set(found.labels[found.labels != UNKNOWN]))
    clean = np.stack([seen[truth == label].mean(axis=0) for label in labels])
    clean /= np.linalg.norm(clean, axis=1, keepdims=True)
    assert (centroids * clean).sum(axis=1).min() > 0.97


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("within", [False, True])
def test_hundreds_of_products_with_near_duplicates(seed: int, within: bool) -> None:
    labels = 200
    truth = truth_of(labels, seed=seed)
    given_ = corrupt(truth, 0.2, seed, leaves(labels) if within else None)
    docs = documents(given_, View("picture", vectors(truth, noise=0.6, dim=64)), labels=labels)
    share, precision = recovered(docs, truth, curate(docs))
    assert share >= 0.9
    assert precision >= 0.95
