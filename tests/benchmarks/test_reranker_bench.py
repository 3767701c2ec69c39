"""`bench reranker`: chunkings and merges, the network's symmetry, its losses, what it measures."""

import math

import numpy as np
import pytest

from tests.needs import needs_torch

pytestmark = needs_torch()

import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.reranking.averaged import Scores, average
from benchmarks.reranking.inputs import CONTEXT_WIDTH, WIDTH, inputs
from benchmarks.reranking.lists import DEPTH
from benchmarks.reranking.matches import FEATURES
from benchmarks.reranking.measures import Judged, mean_interval, no_match, no_match_by_order
from benchmarks.reranking.network import ListwiseNetwork, Size
from benchmarks.reranking.policies import (
    ANCHORS,
    Chunking,
    Compared,
    Merge,
    additive,
    anchored,
    bradley_terry,
    by_absolute,
    by_heads,
    contiguous,
    round_robin,
    windows,
)
from benchmarks.reranking.recalibrated import by_others, calibration_figures, first_places
from models.arrays import Doubles
from models.reranking.chunks import ABSENT, CHUNK_SIZE
from models.training.reranker.list_losses import index_loss, null_loss, pair_loss


@given(st.integers(1, 60), st.sampled_from([contiguous, round_robin, anchored]))
def test_every_candidate_is_in_a_chunk(count: int, chunking: Chunking) -> None:
    chunks = chunking(count)
    assert chunks.shape[1] <= CHUNK_SIZE
    held = chunks[chunks != ABSENT].tolist()
    assert set(held) == set(range(count))
    shared = [one for one in set(held) if held.count(one) > 1]
    assert shared == (list(range(ANCHORS)) if chunking is anchored and len(chunks) > 1 else [])


@given(
    st.integers(1, 40),
    st.sampled_from([contiguous, round_robin, anchored]),
    st.sampled_from([by_heads, by_absolute, additive, bradley_terry]),
    st.integers(0, 2**16),
)
def test_a_merge_gives_each_candidate_once(
    count: int, chunking: Chunking, merge: Merge, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    chunks = chunking(count)
    merged = merge(Compared(chunks, rng.normal(size=chunks.shape), rng.random(count)))
    assert sorted(merged) == list(range(count))


def test_where_scores_agree_so_do_all_merges() -> None:
    strength = np.array([0.1, 0.9, 0.3, 0.7, 0.5, 0.2, 0.8, 0.4, 0.6, 0.15, 0.35, 0.95])
    best_first = np.argsort(-strength).tolist()
    for chunking in (contiguous, round_robin, anchored):
        chunks = chunking(len(strength))
        s = np.where(chunks == ABSENT, 0.0, 10 * strength[chunks])
        compared = Compared(chunks, s, strength)
        assert by_heads(compared) == by_absolute(compared) == best_first
        assert bradley_terry(compared)[0] == best_first[0]
    ranked = windows(len(strength), lambda held: strength[held])
    assert ranked[:5] == best_first[:5]


def test_the_order_of_candidates_does_not_matter() -> None:
    torch.manual_seed(0)
    network = ListwiseNetwork(WIDTH, CONTEXT_WIDTH, Size()).eval()
    for one in network.parameters():
        torch.nn.init.normal_(one, std=0.1)
    candidates, context = torch.randn(3, 10, WIDTH), torch.randn(3, CONTEXT_WIDTH)
    present = torch.ones(3, 10)
    present[:, 7:] = 0
    order = torch.randperm(10)
    with torch.inference_mode():
        s, null, logits = network(candidates, context, present)
        moved_s, moved_null, moved_logits = network(
            candidates[:, order], context, present[:, order]
        )
        more = candidates.clone()
        more[:, 7:] += 5  # of the padding nothing may be seen
        padded_s, _, _ = network(more, context, present)
    assert torch.allclose(s[:, order], moved_s, atol=1e-5)
    assert torch.allclose(null, moved_null, atol=1e-5)
    assert torch.allclose(logits[:, order], moved_logits, atol=1e-5)
    assert torch.allclose(s[:, :7], padded_s[:, :7], atol=1e-5)


def test_a_pointwise_network_sees_one_candidate() -> None:
    torch.manual_seed(0)
    network = ListwiseNetwork(WIDTH, CONTEXT_WIDTH, Size(), compares=False).eval()
    for one in network.parameters():
        torch.nn.init.normal_(one, std=0.1)
    candidates, context, present = torch.randn(1, 4, WIDTH), torch.randn(1, 10), torch.ones(1, 4)
    with torch.inference_mode():
        _, _, logits = network(candidates, context, present)
        _, _, alone = network(candidates[:, 2:3], context, present[:, :1])
    assert torch.allclose(logits[:, 2], alone[:, 0], atol=1e-5)


def test_losses_fall_when_the_product_comes_first_and_null_between() -> None:
    levels = torch.tensor([[0, 1, 3, 3]])
    present = torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    good, bad = torch.tensor([[4.0, 1.0, -2.0, 9.0]]), torch.tensor([[-2.0, 1.0, 4.0, 9.0]])
    null = torch.tensor([2.5])
    assert pair_loss(good, levels, present) < pair_loss(bad, levels, present)
    assert null_loss(good, null, levels, present) < null_loss(bad, null, levels, present)
    assert index_loss(good, null, levels, present) < index_loss(bad, null, levels, present)
    # A pair weighs by how much its levels differ: 1, 2 and 3 here, all margins being 0.
    even = pair_loss(torch.zeros(1, 4), levels, present)
    assert float(even) == pytest.approx(math.log(2) * (1 + 2 + 3) / 3)


def test_an_empty_side_of_null_counts_nothing() -> None:
    levels, present = torch.tensor([[3, 3]]), torch.ones(1, 2)
    loss = null_loss(torch.zeros(1, 2), torch.zeros(1), levels, present)
    assert float(loss) == pytest.approx(math.log(2))


def test_inputs_stand_out_from_the_list_by_the_best_other_candidate() -> None:
    features = np.full((1, 3, len(FEATURES)), np.nan, np.float32)
    features[0, :, 0] = [0.9, 0.5, 0.4]
    candidates, context = inputs(features, np.full((1, 3), 1 / 3, np.float32))
    assert candidates.shape == (1, 3, WIDTH)
    assert context.shape == (1, CONTEXT_WIDTH)
    margins = candidates[0, :, len(FEATURES)]
    assert margins == pytest.approx([0.4, -0.4, -0.5])
    assert np.isnan(candidates[0, :, 1]).all()
    assert np.isfinite(context).all()


def test_no_match_is_measured_by_rank_and_by_what_is_said() -> None:
    told = no_match(np.array([0.1, 0.2, 0.6]), np.array([0.9, 0.7, 0.4]))
    assert told["precision"] == pytest.approx(2 / 3)
    assert told["recall"] == pytest.approx(2 / 3)
    assert told["area"] == pytest.approx(8 / 9)


def judged(given: Doubles, right: Doubles) -> Judged:
    """First places with probabilities, before four candidates that are improbable."""
    count = len(given)
    levels = np.full((count, 5), 3, np.int8)
    levels[:, 0] = np.where(right > 0, 0, 3)
    levels_of = np.full((count, 5, 4), 0.01, np.float32)
    levels_of[:, 0, 0] = given
    return Judged(levels, np.ones(count, np.int64), np.arange(count), levels_of)


def test_what_other_catalogs_and_siblings_say_is_corrected() -> None:
    rng = np.random.default_rng(0)
    truth = [rng.uniform(0.2, 0.9, 400) for _ in range(3)]
    catalogs = [judged(one / 2, (rng.random(400) < one).astype(float)) for one in truth]
    categories = np.array(["pots", "pans"] * 200)
    before = calibration_figures(first_places(catalogs[0]), catalogs[0], categories)
    after = calibration_figures(by_others(catalogs[0], catalogs[1:]), catalogs[0], categories)
    assert before["ece"] > 0.2
    assert after["ece"] < 0.1
    assert before["ece_siblings"] < 0.6 * before["ece"]
    assert before["ece_of_right"] < 0.06
    assert before["ece_category_max"] > 2 * after["ece_category_max"]


def test_the_worst_category_counts_if_it_has_enough_photos() -> None:
    given = np.full(110, 0.5)
    right = np.r_[np.ones(10), np.ones(50), np.zeros(25), np.ones(25)]
    categories = np.array(["few"] * 10 + ["wrong"] * 50 + ["well"] * 50)
    found = calibration_figures(given, judged(given, right), categories)
    assert found["ece_category_max"] == pytest.approx(0.5)
    few = calibration_figures(given[:10], judged(given[:10], right[:10]), categories[:10])
    assert "ece_category_max" not in few


def test_precision_is_measured_where_enough_of_the_removed_are_found() -> None:
    there, removed = np.linspace(0, 1, 101), np.linspace(0.5, 1.5, 101)
    told = no_match_by_order(there, removed)
    assert told["precision_at_recall"] == pytest.approx(0.7 / (0.7 + 0.2), abs=0.02)


def test_the_mean_of_catalogs_has_an_interval() -> None:
    products = np.arange(100)
    differences = [np.tile([0.0, 1.0], 50), np.zeros(100)]
    mean, low, high = mean_interval(differences, [products, products])
    assert mean == pytest.approx(0.25)
    assert 0.15 < low < mean < high < 0.35


def test_an_average_orders_by_what_all_say() -> None:
    above = np.full((1, DEPTH), -np.inf, np.float32)
    one, other = above.copy(), above.copy()
    one[0, :3], other[0, :3] = [2.0, 1.0, -1.0], [-30.0, 20.0, 10.0]
    levels = np.zeros((1, DEPTH, 4), np.float32)
    levels[0, :3] = 0.25
    scores = [Scores(one, levels), Scores(other, levels)]
    even = average([each.divided(each.spread) for each in scores])
    assert np.argsort(-even.above[0])[:3].tolist() == [1, 0, 2]
    assert np.isneginf(even.above[0, 3:]).all()
    assert even.levels[0, :3].sum(axis=1) == pytest.approx(np.ones(3))
    assert not even.levels[0, 3:].any()
    assert even.none == pytest.approx(-even.above[0, 1])
