from itertools import islice

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.errors import TrainingError
from models.training.embedding.id_sampler import IdBatches, beside_neighbours

IDS = np.array([0, 0, 0, 1, 1, 2, 3, 3, 4, 5])


def rows_and_draw(rows: NDArray[np.int64], generator: np.random.Generator) -> tuple[list[int], int]:
    return rows.tolist(), int(generator.integers(1 << 30))


def batches(**settings: object) -> IdBatches:
    return IdBatches(IDS, rows_and_draw, **{"ids_per_batch": 2, **settings})  # type: ignore[arg-type]


def test_every_id_comes_once_per_pass_with_its_views() -> None:
    made = batches(views=2)
    assert made.steps_per_pass == 3
    seen: list[int] = []
    for (rows, _), ids in islice(made("identity", 0), 3):
        assert IDS[rows].tolist() == ids.tolist()
        assert ids[::2].tolist() == ids[1::2].tolist()
        seen += ids[::2].tolist()
    assert sorted(seen) == [0, 1, 2, 3, 4, 5]


def test_views_are_different_rows_as_far_as_there_are() -> None:
    for (rows, _), ids in islice(batches(views=3)("contrast", 0), 10):
        for one in set(ids.tolist()):
            own = [row for row in rows if IDS[row] == one]
            assert len(set(own)) == min(3, IDS.tolist().count(one))


def test_a_step_is_the_same_wherever_one_starts() -> None:
    made = batches()
    from_start = list(islice(made("identity", 0), 8))
    for step, (inputs, ids) in enumerate(islice(batches()("identity", 5), 3), 5):
        assert inputs == from_start[step][0]
        assert torch.equal(ids, from_start[step][1])


def test_stages_seeds_and_passes_differ() -> None:
    made = batches(ids_per_batch=6)
    first, second = ([ids.tolist() for _, ids in islice(made("identity", s), 1)] for s in (0, 1))
    assert first != second
    assert made.batch("identity", 0)[0] != made.batch("contrast", 0)[0]
    assert made.batch("identity", 0)[0] != batches(ids_per_batch=6, seed=1).batch("identity", 0)[0]


def test_processes_share_one_batch() -> None:
    parts = [batches(share=(rank, 3)).batch("identity", 0)[1].tolist() for rank in range(3)]
    assert sorted({one for part in parts for one in part}) == [0, 1, 2, 3, 4, 5]
    assert {len(part) for part in parts} == {4}


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(TrainingError, match="there are 6 IDs"):
        batches(ids_per_batch=7)
    with pytest.raises(TrainingError, match="without gaps"):
        IdBatches(np.array([0, 2]), rows_and_draw)


def test_half_a_batch_are_neighbours_of_the_other_half() -> None:
    ring = np.array([[one, (one + 1) % 6, (one + 2) % 6] for one in range(6)])
    for _, ids in islice(batches(neighbours=ring, ids_per_batch=4)("contrast", 0), 20):
        first, second, *near = ids[::2].tolist()
        assert len({first, second, *near}) == 4
        assert all((other - first) % 6 <= 2 or (other - second) % 6 <= 2 for other in near)


def test_where_neighbours_run_out_the_batch_stays_full() -> None:
    alone = np.arange(9)[:, None]
    chosen = np.array([4, 1, 8, 2, 0])
    found = beside_neighbours(chosen, alone, np.random.default_rng(0))
    assert found.tolist() == chosen.tolist()
