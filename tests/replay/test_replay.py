"""Every recorded stream, run after run: exactly what each run must leave behind."""

from pathlib import Path

import pytest

from tests.replay.replaying import Replay, load
from workers.config.settings import Settings

STREAMS = sorted((Path(__file__).parent / "streams").glob("*.json"))


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
async def test_replay(path: Path, tmp_path: Path) -> None:
    recorded = load(path)
    settings = Settings.model_validate(
        {"data_dir": tmp_path, "milvus": {"uri": str(tmp_path / "milvus.db"), "kind": "lite"}}
    )
    replay = Replay(recorded, settings)
    for expected in recorded.runs:
        assert await replay.run() == expected
    assert replay.acked == len(recorded.records), "the runs end before the stream does"
