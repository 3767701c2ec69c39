import numpy as np
import pytest

from models.errors import TrainingError
from models.training.embedding.id_sampler import IdSampler

IDS = np.array([0, 0, 0, 1, 1, 2, 3, 3, 4, 5])


def sampler(ids_per_batch: int = 2, views: int = 2, seed: int = 0) -> IdSampler:
    return IdSampler(IDS, ids_per_batch=ids_per_batch, views=views, seed=seed)


def test_every_id_comes_once_per_pass_with_its_views() -> None:
    batches = sampler(views=2)
    assert batches.steps_per_pass == 3
    seen: list[int] = []
    for step in range(3):
        ids = IDS[batches.draw(step)].tolist()
        assert ids[::2] == ids[1::2]
        seen += ids[::2]
    assert sorted(seen) == [0, 1, 2, 3, 4, 5]


def test_views_are_different_rows_as_far_as_there_are() -> None:
    for step in range(10):
        rows = sampler(views=3).draw(step)
        for one in set(IDS[rows].tolist()):
            own = [row for row in rows if IDS[row] == one]
            assert len(own) == 3
            assert len(set(own)) == min(3, IDS.tolist().count(one))


def test_a_step_is_the_same_wherever_one_starts() -> None:
    batches = sampler()
    from_start = [batches.draw(step) for step in range(8)]
    for step in (7, 5, 6):
        assert (sampler().draw(step) == from_start[step]).all()


def test_seeds_and_passes_differ() -> None:
    batches = sampler(ids_per_batch=6)
    first, second = (IDS[batches.draw(step)].tolist() for step in (0, 1))
    assert first != second
    assert batches.draw(0).tolist() != sampler(ids_per_batch=6, seed=1).draw(0).tolist()


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(TrainingError, match="there are 6 IDs"):
        sampler(ids_per_batch=7)
    with pytest.raises(TrainingError, match="without gaps"):
        IdSampler(np.array([0, 2]), ids_per_batch=1)
