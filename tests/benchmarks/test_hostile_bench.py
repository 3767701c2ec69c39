"""The hostile inputs of `bench intake`: every one has its expected outcome."""

import pytest

from benchmarks.intake import run
from tests.hostile.check import Tally

QUICK = (
    "not_images",
    "truncated",
    "random",
    "checksums",
    "damaged",
    "addresses",
)
SLOW = ("pictures", "bombs", "references", "server", "decoders")


@pytest.mark.parametrize(
    "group", [*QUICK, *(pytest.param(g, marks=pytest.mark.slow) for g in SLOW)]
)
async def test_every_hostile_input_has_its_expected_outcome(group: str) -> None:
    tally = Tally()
    await run(seed=7, damaged=4, only=group, tally=tally)
    assert tally.inputs >= 7
    assert (tally.wrong, tally.crashed, tally.hung) == (0, 0, 0), tally.notes
