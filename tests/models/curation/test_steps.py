"""Curation's parts, each alone: label noise, PLDA, neighbours, links, noise model, files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.curation.curate import curate
from models.curation.documents import UNKNOWN, Documents, View, number_labels
from models.curation.label_noise import corrupt, recovery
from models.curation.neighbours import nearest
from models.curation.noise_model import NoiseModel, Observations, fit_noise_model, posterior
from models.curation.organize import compact, expand
from models.curation.plda import fit_plda, log_likelihood_ratios
from models.curation.propose import Click, Proposal, behaviour_links, pair_threshold
from models.curation.report import clusters, read_clusters, report, write_clusters
from models.curation.review import with_sampled_labels
from models.errors import CurationError
from tests.models.planted_clusters import documents, leaves, truth_of, unit, vectors


@given(st.floats(0, 1), st.integers(0, 1000), st.booleans())
@settings(max_examples=25)
def test_corrupting_changes_just_that_share_and_stays_within(
    share: float, seed: int, within: bool
) -> None:
    truth = truth_of(12)
    kinds = leaves(12)
    changed = corrupt(truth, share, seed, kinds if within else None)
    assert (changed != truth).sum() == round(share * len(truth))
    assert set(changed) <= set(truth)
    if within:
        assert all(kinds[a] == kinds[b] for a, b in zip(truth, changed, strict=True))
    np.testing.assert_array_equal(changed, corrupt(truth, share, seed, kinds if within else None))


def test_corrupting_leaves_what_has_no_label_and_wants_two_labels() -> None:
    labels = np.array([UNKNOWN, 0, 1, UNKNOWN])
    changed = corrupt(labels, 1.0)
    np.testing.assert_array_equal(changed, [UNKNOWN, 1, 0, UNKNOWN])
    with pytest.raises(CurationError, match="at least two labels"):
        corrupt(np.zeros(5, np.int64), 0.2)


def test_recovery_counts_corrected_labels() -> None:
    truth, observed = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 0, 1, 2])
    flagged = np.array([False, True, True, True, False])
    measured = recovery(truth, observed, flagged, np.array([UNKNOWN, 0, 2, 2, UNKNOWN]))
    assert tuple(measured) == pytest.approx((0.5, 2 / 3, 1.0))
    nothing = recovery(truth, truth, np.zeros(5, bool), np.full(5, UNKNOWN))
    assert tuple(nothing) == (1.0, 1.0, 1.0)


def test_in_a_space_members_are_nearer_than_before() -> None:
    random = np.random.default_rng(0)
    truth = truth_of(30)
    centres = np.zeros((30, 20))
    centres[:, :4] = random.normal(size=(30, 4))
    # Members differ more than clusters do.
    rows = centres[truth] + random.normal(size=(len(truth), 20)) * np.r_[[0.2] * 4, [1.5] * 16]
    rows = unit(rows)
    space = fit_plda(rows, truth, np.ones(len(truth), np.float32))

    def right(points: np.ndarray) -> float:
        near = nearest(points.astype(np.float32), 1).rows[:, 0]
        return float((truth[near] == truth).mean())

    assert right(space.normalised(space(rows))) > right(rows) + 0.3


def test_a_lone_document_has_no_evidence_for_its_own_cluster() -> None:
    truth = np.array([0, 1, 1, 1, 2, 2])
    rows = vectors(truth)
    space = fit_plda(rows, truth, np.ones(6, np.float32))
    candidates = np.stack([truth, (truth + 1) % 3], axis=1)
    shares = np.tile(np.array([1, 0], np.float32), (6, 1))
    evidence = log_likelihood_ratios(space, space(rows), candidates, shares, 3, np.arange(6))
    assert evidence[0, 0] == 0
    assert (evidence[1:, 0] > evidence[1:, 1]).all()


def test_neighbours_are_the_nearest_others() -> None:
    rows = unit(np.random.default_rng(0).normal(size=(50, 8)))
    found = nearest(rows, 5)
    cosines = rows @ rows.T
    np.fill_diagonal(cosines, -2)
    np.testing.assert_array_equal(found.rows, np.argsort(-cosines, axis=1)[:, :5])
    left, right, _ = found.edges()
    assert all(a in found.rows[b] and b in found.rows[a] for a, b in zip(left, right, strict=True))


def test_a_document_without_the_view_is_nobodys_neighbour() -> None:
    rows = unit(np.random.default_rng(0).normal(size=(6, 4)))
    rows[2] = np.nan
    found = nearest(rows, 10)
    assert (found.rows[2] == UNKNOWN).all()
    assert not (found.rows == 2).any()
    assert nearest(rows[:1], 5).rows.tolist() == [[UNKNOWN]]


def test_a_click_further_down_counts_more_but_not_without_end() -> None:
    links = behaviour_links(
        [Click(0, 1, 1), Click(1, 1, 9), Click(2, 1, 10_000), Click(3, 1), Click(3, 2)]
    )
    first, ninth, last, *scattered = links.weights
    assert first < ninth < last == pytest.approx(3 * np.log2(5))
    assert max(scattered) < first


def test_inferred_pairs_agree_in_their_ids() -> None:
    truth = truth_of(40)
    near = nearest(vectors(truth, noise=0.3), 5)
    threshold = pair_threshold(near, truth)
    left, right, cosines = near.edges()
    agree = truth[left] == truth[right]
    assert agree[cosines >= threshold].mean() > 0.9
    assert pair_threshold(near, np.arange(len(truth))) > 1, "no pair agrees"
    assert pair_threshold(nearest(np.zeros((1, 3), np.float32), 3), np.zeros(1, np.int64)) > 1


def test_seeds_grow_by_strong_pairs_and_never_merge() -> None:
    nothing = behaviour_links([])
    seeds = np.array([0, 0, UNKNOWN, UNKNOWN, 1, UNKNOWN, UNKNOWN, UNKNOWN])
    proposal = Proposal(
        seeds,
        nothing,
        np.array([0, 1, 2, 3, 5]),
        np.array([1, 2, 3, 4, 6]),
        np.array([0.8, 0.9, 0.85, 0.7, 0.9], np.float32),
        {},
    )
    members = expand(proposal, 2)
    np.testing.assert_array_equal(members[:5], [0, 0, 0, 0, 1])
    assert members[5] == members[6] >= 2
    assert members[7] == UNKNOWN
    weak = Proposal(seeds, nothing, *_pairs([(0, 1, 0.8), (1, 2, 0.2)]), {})
    assert expand(weak, 2)[2] == UNKNOWN, "weaker than the cluster's own pairs"


def test_labels_that_are_no_candidates_are_represented_by_a_sample() -> None:
    candidates = np.array([[3, 1, UNKNOWN], [0, UNKNOWN, UNKNOWN]])
    all_of_few, each = with_sampled_labels(candidates, np.array([3, 0]), 6)
    assert [set(row) - {UNKNOWN} for row in all_of_few] == [set(range(6))] * 2
    assert (each == 1).all()
    some, each = with_sampled_labels(candidates, np.array([3, UNKNOWN]), 5000)
    np.testing.assert_array_equal(some[:, :3], candidates)
    drawn = some[:, 3:] != UNKNOWN
    np.testing.assert_allclose((each[:, 3:] * drawn).sum(axis=1), [4998, 4999], rtol=1e-5)


def test_candidates_come_once_in_order() -> None:
    lists = np.array([[3, 3, UNKNOWN, 1, 3], [UNKNOWN, 2, 2, UNKNOWN, 0]])
    np.testing.assert_array_equal(compact(lists), [[3, 1], [2, 0]])


def _observations(
    wrong: float, useful: float = 3.0, n: int = 600
) -> tuple[Observations, np.ndarray]:
    """Ten labels, two kinds of evidence: the first depends on the truth, the second does not."""
    random = np.random.default_rng(0)
    truth = random.integers(0, 10, n)
    observed = corrupt(truth, wrong, 0)
    candidates = np.tile(np.arange(10), (n, 1))
    evidence = random.normal(size=(n, 10, 2)).astype(np.float32)
    evidence[np.arange(n), truth, 0] += useful
    return Observations(
        candidates, evidence, observed, np.arange(10), np.ones((n, 10), np.float32)
    ), truth


@pytest.mark.parametrize("wrong", [0.0, 0.1, 0.3])
def test_the_share_of_wrong_ids_is_learned(wrong: float) -> None:
    data, _ = _observations(wrong)
    model = fit_noise_model(data, np.array([0.5, 0.5]))
    assert model.noise_rate == pytest.approx(wrong, abs=0.03)
    assert model.weights[0] > 5 * model.weights[1]
    after = posterior(data, model)
    np.testing.assert_allclose(after.sum(axis=1), 1, atol=1e-9)


def test_posteriors_are_calibrated() -> None:
    data, truth = _observations(0.2, useful=2.5, n=3000)
    after = posterior(data, fit_noise_model(data, np.array([0.5, 0.5])))[:, 1:]
    confidence = after.max(axis=1)
    assert (after.argmax(axis=1) == truth).mean() == pytest.approx(confidence.mean(), abs=0.03)


def test_without_ids_the_weights_stay_at_the_initial_ones() -> None:
    data, _ = _observations(0.0, n=20)
    blank = replace(data, observed=np.full(20, UNKNOWN))
    model = fit_noise_model(blank, np.array([0.5, 0.25]))
    assert model.weights.tolist() == [0.5, 0.25]
    assert isinstance(model, NoiseModel)


def test_inconsistent_parts_are_errors() -> None:
    view = View("picture", vectors(np.array([0, 1])))
    with pytest.raises(CurationError, match="one row for each of the 3"):
        Documents(np.zeros(3, np.int64), ("a",), (view,))
    with pytest.raises(CurationError, match="length 1"):
        Documents(np.zeros(2, np.int64), ("a",), (View("picture", view.vectors * 2),))
    with pytest.raises(CurationError, match=r"labels must lie in -1\.\.0"):
        Documents(np.array([0, 1]), ("a",), (view,))
    with pytest.raises(CurationError, match="keys were given"):
        Documents(np.zeros(2, np.int64), ("a",), (view,), keys=("one",))
    with pytest.raises(CurationError, match="nothing to curate"):
        Documents(np.empty(0, np.int64), (), (View("picture", np.empty((0, 3), np.float32)),))


def test_ids_are_numbered_by_name() -> None:
    labels, names = number_labels(["b", None, "a", "", "b"])
    assert names == ("a", "b")
    assert labels.tolist() == [1, UNKNOWN, 0, UNKNOWN, 1]


def test_a_category_that_contradicts_the_id_counts_against_it() -> None:
    truth = truth_of(8)
    blurred = View("picture", vectors(truth, noise=1.0))
    observed = corrupt(truth, 0.2, 3)
    plain = documents(observed, blurred, labels=8)
    paths = leaves(8)
    categorised = Documents(
        observed,
        plain.names,
        (blurred,),
        categories=tuple(paths[label] for label in truth),
        label_categories=paths,
    )
    other = np.array([paths[a] != paths[b] for a, b in zip(truth, observed, strict=True)])
    without, with_paths = curate(plain), curate(categorised)
    assert with_paths.error_probability[other].mean() > without.error_probability[other].mean()


def test_clusters_are_written_read_and_reported(tmp_path: Path) -> None:
    truth = truth_of(8)
    observed = corrupt(truth, 0.2, 0)
    keys = tuple(f"photos/{row}.webp" for row in range(len(truth)))
    docs = Documents(
        observed,
        tuple(f"P-{label}" for label in range(8)),
        (View("picture", vectors(truth)),),
        keys,
    )
    found = curate(docs)
    path = tmp_path / "new" / "clusters.jsonl"
    write_clusters(docs, found, path)
    read = read_clusters(path)
    assert len(read) == (found.labels != UNKNOWN).sum()
    assert all(
        read[keys[row]][0] == found.names[label]
        for row, label in enumerate(found.labels)
        if label != UNKNOWN
    )
    summary = report(docs, found)
    decisions = summary["decisions"]
    assert isinstance(decisions, dict)
    assert sum(decisions.values()) == len(truth)
    changes = summary["changes"]
    assert isinstance(changes, list)
    assert len(changes) == len(truth) - decisions["kept"]
    assert all(change["explanation"] for change in changes)
    for line in clusters(docs, found):
        assert line["label"] is None or 0 < float(str(line["largest_component"])) <= 1

    path.write_text('{"label": "P-1"}\n')
    with pytest.raises(CurationError, match=":1 is no cluster"):
        read_clusters(path)
    with pytest.raises(CurationError, match="cannot read"):
        read_clusters(tmp_path / "none")


def _pairs(
    pairs: list[tuple[int, int, float]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    left, right, strength = zip(*pairs, strict=True)
    return np.array(left), np.array(right), np.array(strength, np.float32)
