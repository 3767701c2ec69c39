import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.reranking.chunks import ABSENT, split
from models.reranking.merge import merge, order


@given(st.integers(0, 130), st.integers(1, 10))
def test_chunks_are_contiguous_balanced_and_complete(count: int, size: int) -> None:
    chunks = split(count, size)
    members = [[int(one) for one in chunk if one != ABSENT] for chunk in chunks]
    assert [one for chunk in members for one in chunk] == list(range(count))
    lengths = [len(chunk) for chunk in members]
    assert not lengths or (max(lengths) <= size and max(lengths) - min(lengths) <= 1)
    assert len(chunks) == -(-count // size)


def test_merge_by_hand() -> None:
    # 4 is better than 3, but comes later in its chunk: that order is kept.
    absolute = [0.9, 0.2, 0.5, 0.1, 0.8]
    assert merge([[0, 1, 2], [3, 4]], absolute) == [0, 1, 2, 3, 4]
    assert merge([[1], [], [0]], [0.5, 0.5]) == [0, 1]
    assert merge([], []) == []


@given(st.data())
def test_merge_is_a_permutation_and_keeps_the_order_of_every_chunk(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 40))
    scores = st.lists(st.floats(0, 1), min_size=count, max_size=count)
    absolute = data.draw(scores)
    chunks = split(count)
    padded = np.append(data.draw(scores), np.nan)[chunks]
    ordered = order(chunks, padded)
    merged = merge(ordered, absolute)
    assert sorted(merged) == list(range(count))
    place = {candidate: at for at, candidate in enumerate(merged)}
    for chunk in ordered:
        places = [place[candidate] for candidate in chunk]
        assert places == sorted(places)
    assert absolute[merged[0]] == max(absolute[chunk[0]] for chunk in ordered)
