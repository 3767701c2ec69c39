"""The examples of the documents run as they stand there, on a stack that is up."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from tests.paths import EXAMPLE, ROOT
from workers.config.settings import Settings, load_settings, settings_environment
from workers.deploy.ephemeral import ephemeral_settings
from workers.deploy.supervisor import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

BLOCK = re.compile(
    r"(?:<!-- not run: (?P<why>.+?) -->\n)?^```(?P<kind>sh|python)\n(?P<code>.*?)^```",
    re.DOTALL | re.MULTILINE,
)
PAGES = sorted((ROOT / "docs").glob("*.md"))
WEB = "http://127.0.0.1:8420"
PICTURE_ELSEWHERE = "https://shop.example/7.jpg"
SHELL = """set -euo pipefail
lookstream() { "$PYTHON" -P -m workers.cli "$@"; }
curl() { command curl --fail-with-body --silent --show-error --max-time 60 "$@"; echo; }
"""


@dataclass(frozen=True)
class Block:
    """An example: its language, its lines, and why it is not run, if it is not."""

    kind: str
    code: str
    why: str | None


def blocks(page: Path) -> list[Block]:
    """The examples of a page, in their order."""
    return [
        Block(found["kind"], found["code"], found["why"])
        for found in BLOCK.finditer(page.read_text("utf-8"))
    ]


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    """All workers are up."""
    if not shutil.which("curl"):
        pytest.skip("no curl: `apt-get install curl`")
    given = load_settings().model_dump()
    given["intake"]["roots"] = [ROOT]
    given["web"]["rate_per_s"] = given["web"]["burst"] = 1000
    loaded = Settings.model_validate(given)
    with ephemeral_settings(loaded, "examples") as settings, Stack(settings) as running:
        running.wait_ready()
        yield settings


@pytest.fixture(scope="module")
def folder(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the examples run: the catalog is there, and it was sent."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "examples").symlink_to(ROOT / "examples")
    for name, photo in (("photo", "Granny-Smith_033"), ("other", "Lemon_005")):
        with Image.open(EXAMPLE / "photos" / f"{photo}.webp") as picture:
            picture.convert("RGB").save(folder / f"{name}.jpg")
    (folder / "products.csv").write_text("sku,name,price\nc1,Cherry jam,3.5\nc2,Plum jam,2.5\n")
    rows = '{"product_id": "j1", "title": "Fig jam"}\n{"product_id": "j2", "title": "Rye bread"}\n'
    (folder / "products.jsonl").write_text(rows)
    run(Block("sh", "lookstream produce examples/grocery --quiet", None), folder, settings)
    return folder


def run(block: Block, folder: Path, settings: Settings) -> str:
    """What an example prints; it fails with what it said."""
    code = block.code.replace(WEB, f"http://127.0.0.1:{settings.web.port}")
    shown = base64.b64encode((EXAMPLE / "pictures" / "Lime.webp").read_bytes()).decode()
    code = code.replace(PICTURE_ELSEWHERE, f"data:image/webp;base64,{shown}")
    script = folder / ("example.py" if block.kind == "python" else "example.sh")
    script.write_text(code if block.kind == "python" else SHELL + code)
    program = [sys.executable, "-P"] if block.kind == "python" else ["bash"]
    environment = {**settings_environment(settings), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*program, script.name],
        cwd=folder,
        env={**environment, "PYTHON": sys.executable, "COLUMNS": "200", "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
        check=False,
    )
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, f"{block.code}\n{said}"
    return said


@pytest.mark.parametrize("page", [one for one in PAGES if blocks(one)], ids=lambda one: one.name)
def test_examples_run(page: Path, folder: Path, settings: Settings) -> None:
    for block in blocks(page):
        if block.why is None:
            said = run(block, folder, settings)
            assert "Traceback" not in said


def test_an_answer_of_the_first_page(folder: Path, settings: Settings) -> None:
    start = blocks(ROOT / "docs" / "start.md")
    asked = next(one for one in start if one.kind == "python")
    assert "Granny Smith" in run(asked, folder, settings).splitlines()[0]
