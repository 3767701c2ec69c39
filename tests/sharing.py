"""How the tests are shared out to processes, with `pytest -n N` (pytest-xdist).

A file is run by one process, for the fixtures of its module; but all that needs Apache Kafka, and
all that needs the Milvus server, by one that starts it. The groups with the most slow tests come
first, and of those with as many the larger, so that no long one is begun last.

Only the processes that run the tests know their marks, and the one that shares them out knows
their ids alone: so the groups lie in a file.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path

import orjson
import pytest
from xdist.scheduler import LoadScopeScheduling

SERVERS = ("postgres", "kafka", "milvus")
"""Marks of tests that need a server which one process should start for all of them."""


def group_of(item: pytest.Item) -> str:
    """The group of a test: the server that it needs, or its file."""
    needed = (server for server in SERVERS if item.get_closest_marker(server))
    return next(needed, item.nodeid.partition("::")[0])


def sort_and_tell(run: str, items: list[pytest.Item]) -> None:
    """Bring the tests into the order of their groups, and write down the groups of this run."""
    groups = {item.nodeid: group_of(item) for item in items}
    slow = Counter(groups[item.nodeid] for item in items if item.get_closest_marker("slow"))
    size = Counter(groups.values())
    items.sort(key=lambda item: (-slow[groups[item.nodeid]], -size[groups[item.nodeid]]))
    file = _file(run)
    scratch = file.with_suffix(f".{os.getpid()}")
    scratch.write_bytes(orjson.dumps(groups))
    scratch.replace(file)


class ByGroup(LoadScopeScheduling):  # type: ignore[misc]
    """Gives each process one group after the other, in the order of the tests."""

    def __init__(self, config: pytest.Config, log: object) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)
        self._groups: dict[str, str] = {}

    def schedule(self) -> None:
        """Begin; by now every process has collected its tests."""
        if not self._groups:
            file = _file(next(iter(self.nodes)).workerinput["testrunuid"])
            self._groups = orjson.loads(file.read_bytes())
            file.unlink()
        super().schedule()

    def _split_scope(self, nodeid: str) -> str:
        return self._groups[nodeid]


def _file(run: str) -> Path:
    return Path(tempfile.gettempdir()) / f"lookstream-tests-{run}.json"
