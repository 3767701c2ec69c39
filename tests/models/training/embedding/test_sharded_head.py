import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.needs import needs_torch

pytestmark = [needs_torch(), pytest.mark.slow]

import torch
from safetensors.torch import load_file
from torch import Tensor

from models.errors import TrainingError
from models.training.embedding.prototype_head import PrototypeHead
from models.training.embedding.ranks import Ranks
from models.training.embedding.sharded_head import ShardedHead
from tests.models.training.embedding import ranks as many

TIMEOUT = 400
"""Seconds for all; processes that wait for each other are ended then."""


def run_ranks(world: int, folder: Path) -> list[dict[str, Tensor]]:
    started = []
    end = time.monotonic() + TIMEOUT
    try:
        for rank in range(world):
            command = [sys.executable, "-m", many.__name__, str(rank), str(world), str(folder)]
            with (folder / f"rank{rank}.log").open("w") as log:
                one = subprocess.Popen(
                    command,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, "OMP_NUM_THREADS": "1"},
                )
            started.append(one)
        for rank, one in enumerate(started):
            code = one.wait(timeout=max(1.0, end - time.monotonic()))
            assert code == 0, (folder / f"rank{rank}.log").read_text()
    finally:
        for one in started:
            one.kill()
            one.wait()
    return [load_file(folder / f"rank{rank}.safetensors") for rank in range(world)]


@pytest.mark.timeout(TIMEOUT + 60)
@pytest.mark.parametrize("world", [2, 4])
def test_ranks_together_do_what_one_process_does(world: int, tmp_path: Path) -> None:
    results = run_ranks(world, tmp_path)
    for case in many.CASES:
        alone = many.measured(PrototypeHead(many.whole_head()), slice(None), case)
        for part in ("features", "weight"):
            joined = torch.cat([result[f"{case}.{part}"] for result in results])
            assert torch.allclose(joined, alone[f"{case}.{part}"], atol=1e-5, rtol=0), (case, part)
        for result in results:
            assert torch.allclose(result[f"{case}.loss"], alone[f"{case}.loss"], atol=1e-5)
    alone = many.ends(None)
    for result in results:
        for name, value in alone.items():
            assert torch.allclose(result[name], value.detach(), atol=1e-4), name


def test_slices_cover_all_ids_once() -> None:
    bounds = [Ranks(rank, 4).bounds(13) for rank in range(4)]
    assert [0, *(stop for _, stop in bounds)] == [*(start for start, _ in bounds), 13]


def test_a_slice_that_is_not_the_ranks_own_is_refused() -> None:
    with pytest.raises(TrainingError, match="must hold 4"):
        ShardedHead(torch.zeros(3, 1, 8), 13, Ranks(3, 4))
    with pytest.raises(TrainingError, match="at least one"):
        ShardedHead.slice_of(torch.zeros(3, 1, 8), Ranks(0, 4))
