"""What a real Debezium sent, in each of its modes, through the real steps: the index is the table.

`test_modes.py` records the events in `recorded/`.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.postgres.shop import MODES, Mode
from tests.postgres.steps import applied, check, read_recorded

# In the fast lane one of each kind.
FAST = ("string", "rewrite", "tombstone", "headers", "cloudevents")
each_mode = pytest.mark.parametrize(
    "mode",
    [
        pytest.param(one, id=one.name, marks=() if one.name in FAST else pytest.mark.slow)
        for one in MODES
    ],
)


@each_mode
async def test_the_index_is_the_table(mode: Mode, tmp_path: Path) -> None:
    check(mode, *await applied(mode, list(read_recorded(mode)), tmp_path))


@pytest.mark.parametrize("form", ["auto", None])
@each_mode
async def test_a_connector_that_repeats_itself_changes_nothing(
    mode: Mode, form: str | None, tmp_path: Path
) -> None:
    """Killed, it sends again what it had not noted as sent, at other times."""
    if form and mode.format == "outbox":
        pytest.skip("an outbox is not told by its records")
    records = list(read_recorded(mode))
    again = [
        replace(one, offset=len(records) + number, timestamp_ms=one.timestamp_ms + 60_000)
        for number, one in enumerate(records[2:])
    ]
    given = replace(mode, format=form or mode.format)
    products, letters = await applied(given, [*records, *again], tmp_path)
    check(mode, products, letters if mode.versioned else None, times=2)
