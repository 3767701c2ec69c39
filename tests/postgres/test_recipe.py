"""The recipe of `docs/catalog-sources.md`, as it stands there, from the table to the search."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from stream.child_process import spawn, stop
from stream.embedded_broker import claim_port
from tests.paths import ROOT
from tests.servers.debezium import ConnectWorker
from tests.servers.kafka import KafkaCluster
from tests.servers.postgres import PostgresServer

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(900)]

HEADING = "## Your PostgreSQL in an afternoon\n"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
KINDS = ["sql", "sql", "json", "sh", "toml", "sh", "sh", "sql"]
SHELL = """set -euo pipefail
lookstream() {
    [ "$1" = up ] && exec "$PYTHON" -P -m workers.cli up
    "$PYTHON" -P -m workers.cli "$@"
}
"""
WAIT_S = 300.0


@dataclass(frozen=True)
class Terminal:
    """Runs shell blocks in a folder, with other addresses than the document's."""

    folder: Path
    addresses: dict[str, str]

    def with_addresses(self, text: str) -> str:
        """The text with the addresses of this test."""
        for there, here in self.addresses.items():
            text = text.replace(there, here)
        return text

    def script(self, code: str) -> list[str]:
        """The command line that runs it."""
        there = f"cd {shlex.quote(str(self.folder))}\n"
        return ["bash", "-c", SHELL + there + self.with_addresses(code)]

    def run(self, code: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            self.script(code),
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=WAIT_S,
            check=False,
        )

    def environment(self) -> dict[str, str]:
        """The one of this process, with this Python and free ports."""
        return os.environ | {"PYTHON": sys.executable, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}


def test_the_recipe(
    postgres: PostgresServer,
    cluster: KafkaCluster,
    connect: ConnectWorker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not shutil.which("curl"):
        pytest.skip("no curl: `apt-get install curl`")
    for name in ("INGEST__METRICS_PORT", "QUERY__METRICS_PORT", "FEEDBACK__METRICS_PORT"):
        monkeypatch.setenv(f"LOOKSTREAM_{name}", str(claim_port()))
    monkeypatch.setenv("LOOKSTREAM_WEB__PORT", str(claim_port()))
    table, grants, connector, put, settings, start, search, change = recipe()
    terminal = Terminal(
        tmp_path,
        {
            "127.0.0.1:9092": cluster.plain.bootstrap,
            "127.0.0.1:19531": f"127.0.0.1:{claim_port()}",
            "http://127.0.0.1:8083": connect.url,
            '"5432"': f'"{postgres.port}"',
        },
    )
    for name, text in (("connector.json", connector), ("shop.toml", settings)):
        (tmp_path / name).write_text(terminal.with_addresses(text))
    with postgres.connect() as connection:
        connection.execute(table.encode())
        connection.execute(
            "INSERT INTO products (id, name, path, price, stock, attributes) VALUES "
            "(1, 'Oat milk', 'Food>Milk', 2.5, 3, '{\"color\": \"white\"}'), "
            "(2, 'Rye bread', 'Food>Bread', 4.5, 0, NULL)"
        )
        connection.execute(grants.encode())
        done = terminal.run(put)
        assert done.returncode == 0, done.stdout
        wait_until(lambda: connect.runs("shop"))
        up = spawn(terminal.script(start), env=terminal.environment(), log_path=tmp_path / "up.log")
        try:
            await_answer(terminal, search, "2.50")
            connection.execute(change.encode())
            await_answer(terminal, search, "3.75")
        except BaseException as error:
            error.add_note((tmp_path / "up.log").read_text())
            raise
        finally:
            stop(up, grace_s=60)
    proposed = (tmp_path / "up.log").read_text()
    assert re.search(r'^title += "name"$', proposed, re.MULTILINE)


def recipe() -> list[str]:
    """The blocks, in the document's order."""
    page = (ROOT / "docs" / "catalog-sources.md").read_text("utf-8")
    found = BLOCK.findall(page.partition(HEADING)[2].partition("\n## ")[0])
    assert [kind for kind, _ in found] == KINDS
    return [code for _, code in found]


def wait_until(holds: Callable[[], bool]) -> None:
    """Ask until it holds."""
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def await_answer(terminal: Terminal, search: str, price: str) -> None:
    """Search until the product is found at this price."""
    deadline = time.monotonic() + WAIT_S
    while True:
        done = terminal.run(search)
        found = [line for line in done.stdout.splitlines() if "Oat milk" in line]
        if done.returncode == 0 and found and price in found[0]:
            return
        assert time.monotonic() < deadline, done.stdout
