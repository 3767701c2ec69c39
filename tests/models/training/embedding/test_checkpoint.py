import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.needs import needs_torch

pytestmark = needs_torch()

import numpy as np
import torch
from torch import nn

from models.errors import TrainingError
from models.training.embedding.run_state import StepRecord
from models.training.embedding.stages import Checkpointing, train
from tests.models.training.embedding.toy import Linear, batches, recipe, training_pass

PLAN = recipe(2, 2)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "deep" / "run.safetensors"
    train(Linear(), batches, PLAN, training_pass=training_pass, checkpoint=Checkpointing(path))
    return path


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_all_generators_go_on_where_they_were(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    seen: list[tuple[float, float, float]] = []

    def draw(record: StepRecord) -> None:
        if record.step == 2:
            raise KeyboardInterrupt
        seen.append(draws())

    plan = recipe(3, 0)
    with pytest.raises(KeyboardInterrupt):
        train(Linear(), batches, plan, progress=draw, checkpoint=Checkpointing(path, 2))
    expected = draws()
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    train(Linear(), batches, plan, progress=draw, checkpoint=Checkpointing(path, 2))
    assert seen[1] == expected


def test_a_finished_run_is_read_back_whole(saved: Path) -> None:
    steps: list[StepRecord] = []
    again = train(
        Linear(),
        batches,
        PLAN,
        training_pass=training_pass,
        progress=steps.append,
        checkpoint=Checkpointing(saved),
    )
    assert not steps
    assert [one.step for one in again.history] == [1, 2, 1, 2]
    assert again.head is not None


def test_a_checkpoint_of_another_recipe_is_refused(saved: Path) -> None:
    with pytest.raises(TrainingError, match="another recipe"):
        train(
            Linear(),
            batches,
            replace(PLAN, margin=0.5),
            training_pass=training_pass,
            checkpoint=Checkpointing(saved),
        )


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [_cut, _empty])
def test_a_damaged_checkpoint_is_refused(saved: Path, damage: Callable[[Path], None]) -> None:
    damage(saved)
    with pytest.raises(TrainingError, match="cannot be resumed"):
        train(Linear(), batches, PLAN, training_pass=training_pass, checkpoint=Checkpointing(saved))


def test_a_checkpoint_of_another_network_is_refused(saved: Path) -> None:
    other = Linear()
    other.linear = nn.Linear(16, 24)
    with pytest.raises(TrainingError, match="cannot be resumed"):
        train(other, batches, PLAN, training_pass=training_pass, checkpoint=Checkpointing(saved))
