"""Changes of generations while an ingest worker, a process of its own that nobody stops, writes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from benchmarks.generations import PROGRAM, Shop, environment_of, lost, open_shop
from tests.doubles.colours import picture_png
from tests.doubles.two_encoders import COLOURS
from workers.catalog_index import open_catalog
from workers.jobs.generations import list_generations

pytestmark = pytest.mark.slow

PRODUCTS = 60
EVENTS_PER_S = 50.0
KILLED = """
import functools, os, signal, sys
from tests.doubles.two_encoders import main
from workers.jobs import promotion

def on_step(step):
    if step == os.environ["KILLED_AT"]:
        os.kill(os.getpid(), signal.SIGKILL)

promotion.promote = functools.partial(promotion.promote, on_step=on_step)
main()
"""
"""The command line, which dies at a step of a promotion."""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with open_shop(tmp_path, repartition=False) as opened:
        opened.fill(PRODUCTS)
        yield opened


@contextmanager
def trading(shop: Shop) -> Iterator[None]:
    """While inside, products come, change and go."""
    stopped = threading.Event()
    thread = threading.Thread(target=shop.trade, args=(stopped, EVENTS_PER_S))
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def run(shop: Shop, *command: str) -> Any:
    """What a command, a process of its own, reports."""
    done = subprocess.run(
        [*PROGRAM, *command, "--json"],
        env=environment_of(shop.settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return orjson.loads(done.stdout.splitlines()[-1])


def version(shop: Shop) -> str:
    """Of the bank of the live index."""
    with open_catalog(shop.settings)[0] as collection:
        return collection.bank.version


def clusters(folder: Path) -> Path:
    """Curated products of the shop, one of each colour."""
    products, lines = [], []
    for number, colour in enumerate(COLOURS):
        product, picture = f"p{number}", f"{colour}.png"
        (folder / picture).write_bytes(picture_png(colour))
        products.append({"product_id": product, "image": picture, "title": f"{colour} {product}"})
        member = {"document": picture, "weight": 1.0, "verdict": "kept"}
        lines.append({"label": product, "members": [member]})
    (folder / "products.jsonl").write_text("\n".join(map(json.dumps, products)))
    path = folder / "clusters.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


@pytest.mark.timeout(300)
def test_prototypes_are_built_and_updated(shop: Shop, tmp_path: Path) -> None:
    curated = tmp_path / "curated"
    curated.mkdir()
    named = ("--clusters", str(clusters(curated)), "--catalog", str(curated))
    versions = [version(shop)]
    for command in (("build", "--count", "5"), ("build", *named), ("update",)):
        sent = shop.sent
        with trading(shop):
            run(shop, "prototypes", *command, "--quiet")
        assert shop.sent > sent
        versions.append(version(shop))
        assert lost(shop) == 0
    assert len(set(versions)) == len(versions)
    assert [one.name for one in list_generations(shop.settings)] == ["previous"]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("step", "moved"),
    [("catch up at the gate", False), ("alias", False), ("open", True), ("tidy", True)],
)
def test_a_command_that_is_killed_at_the_switch(shop: Shop, step: str, moved: bool) -> None:
    run(shop, "reindex", "--into", "next", "--keep", "--quiet")
    with open_catalog(shop.settings)[0] as collection:
        before = collection.generation
    with trading(shop):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, "generations", "promote", "next"],
            env=environment_of(shop.settings) | {"KILLED_AT": step},
            capture_output=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        # The gate is open again, and the worker writes into what is live.
        shop.upsert("n9000000").result(60)
        again = run(shop, "generations", "promote", "next", "--quiet")
    assert lost(shop) == 0
    with open_catalog(shop.settings)[0] as collection:
        assert collection.generation != before
    assert moved == (again["held_s"] == 0), "where the alias had moved, it is only tidied up"
    assert [one.name for one in list_generations(shop.settings)] == ["previous"]
