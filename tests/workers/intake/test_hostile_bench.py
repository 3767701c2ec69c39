"""The benchmark's hostile inputs, as a test: every one judged right."""

import pytest

from benchmarks.hostile.memory import Memory
from benchmarks.intake import Tally, run

QUICK = ("pictures", "impostors", "cut", "random", "checked", "flipped", "addresses")
SLOW = ("bombs", "schemes", "server", "decoders")


@pytest.mark.parametrize(
    "group", [*QUICK, *(pytest.param(g, marks=pytest.mark.slow) for g in SLOW)]
)
async def test_every_hostile_input_gets_its_verdict(group: str) -> None:
    tally = Tally()
    await run(seed=7, flips=4, only=group, tally=tally, memory=Memory())
    assert tally.inputs >= 7
    assert (tally.wrong, tally.crashed, tally.hung) == (0, 0, 0), tally.notes
