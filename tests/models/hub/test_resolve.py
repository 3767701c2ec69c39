"""From a name to a folder, with a hub on loopback."""

from pathlib import Path

import pytest

from tests.hub.cases import CASES, Case
from tests.hub.check import problems

pytest.importorskip("huggingface_hub", reason="needs the extra hub")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_fetching_ends_as_it_must(case: Case, tmp_path: Path) -> None:
    assert problems(case, tmp_path) == []
