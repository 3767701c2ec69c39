"""The built wheel, installed without extras: it serves, and says what it lacks in a sentence."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from stream.embedded_broker import claim_port
from tests.paths import EXAMPLE, ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

HEAVY = (
    "torch",
    "torchvision",
    "timm",
    "pyvista",
    "matplotlib",
    "transformers",
    "scipy",
    "sklearn",
)


OURS = ("PYTHON", "LOOKSTREAM_", "VIRTUAL_ENV")
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
"""The environment without what leads to this checkout."""


@pytest.fixture(scope="module")
def binaries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a fresh environment that has the wheel and what it depends on."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # building leaves files behind
    ignore = shutil.ignore_patterns(
        ".git", ".*cache", ".venv", ".lookstream", "build", "*.egg-info"
    )
    shutil.copytree(ROOT, source, ignore=ignore)
    wheel = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "-w",
        str(folder),
        str(source),
    ]
    subprocess.run(wheel, check=True, env=CLEAN)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True, env=CLEAN)
    (built,) = folder.glob("lookstream-*.whl")
    pip = [str(folder / "venv" / "bin" / "python"), "-m", "pip", "install", "-q", "--no-compile"]
    subprocess.run([*pip, "-c", str(ROOT / "constraints.txt"), str(built)], check=True, env=CLEAN)
    return folder / "venv" / "bin"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Settings of a deployment of its own, and nothing that leads to this checkout."""
    ports = {
        f"LOOKSTREAM_{name}__METRICS_PORT": str(claim_port(0))
        for name in ("INGEST", "QUERY", "FEEDBACK")
    }
    return CLEAN | {
        "LOOKSTREAM_DATA_DIR": str(tmp_path / "data"),
        "LOOKSTREAM_CACHE": str(tmp_path / "cache"),
        "LOOKSTREAM_KAFKA__BOOTSTRAP": f"embedded://127.0.0.1:{claim_port(0)}",
        "LOOKSTREAM_MILVUS__URI": f"embedded://127.0.0.1:{claim_port(0)}",
        **ports,
    }


def lookstream(
    binaries: Path, environment: dict[str, str], folder: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(binaries / "lookstream"), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_nothing_heavy_comes_along(binaries: Path) -> None:
    code = f"from importlib.util import find_spec; print([m for m in {HEAVY} if find_spec(m)])"
    told = subprocess.run(
        [binaries / "python", "-c", code],
        check=True,
        env=CLEAN,
        capture_output=True,
        text=True,
    )
    assert told.stdout.strip() == "[]"


@pytest.fixture
def running(binaries: Path, environment: dict[str, str], tmp_path: Path) -> Iterator[None]:
    """`lookstream up` in an empty folder."""
    process = subprocess.Popen(
        [str(binaries / "lookstream"), "up"],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if line.startswith("ready"):
                break
        assert said[-1].startswith("ready"), "".join(said)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.mark.usefixtures("running")
def test_it_answers_a_query(binaries: Path, environment: dict[str, str], tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    rows = (EXAMPLE / "products.jsonl").read_bytes().splitlines()[:3]
    products = [orjson.loads(row) for row in rows]
    for product in products:
        product["image"] = str(EXAMPLE / product["image"])
    (shop / "products.jsonl").write_bytes(b"\n".join(map(orjson.dumps, products)))
    sent = lookstream(binaries, environment, tmp_path, "produce", str(shop), "--json")
    assert sent.returncode == 0, sent.stderr
    picture = products[1]["image"]
    found = lookstream(binaries, environment, tmp_path, "search", picture, "--json")
    assert found.returncode == 0, found.stderr
    best = orjson.loads(found.stdout.splitlines()[-1])["items"][0]
    assert best["product_id"] == products[1]["product_id"]


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (("train", "embedding", ".", "--out", "x.safetensors"), "train"),
        (("train", "reranker", ".", "--out", "x.json"), "train"),
        (("train", "text", "--out", "x.safetensors"), "train"),
        (("curate", ".", "--out", "x.jsonl"), "train"),
        (("models", "export", "lite2", "--out", "x"), "train"),
        (("studio", "x", "--products", "1"), "synthetic"),
        (("bench", "embedding"), "bench"),
    ],
)
def test_what_an_extra_brings_is_named(
    binaries: Path,
    environment: dict[str, str],
    tmp_path: Path,
    arguments: tuple[str, ...],
    extra: str,
) -> None:
    told = lookstream(binaries, environment, tmp_path, *arguments)
    assert told.returncode == 1
    assert f"pip install 'lookstream[{extra}]'" in " ".join(told.stderr.split())
    assert "Traceback" not in told.stderr
