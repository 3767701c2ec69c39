"""How heavy Lookstream is: what an installation takes, and how soon it runs.

    python -m benchmarks.footprint [--skip-demo] [--runs 3]

Builds the checkout's wheel and installs it without extras into a fresh environment, then times
what a user waits for: `make demo` on a bare copy of the checkout until its table, `lookstream up`
until it is ready, the import of each worker (the slowest counts), `lookstream --help`. Times are
medians of the runs, but for the demo and the first start of `up`, which happen once. The last line
is one JSON object: install_mb, demo_s, ready_s, import_ms, help_ms, weights_mb. Needs a package
index.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import orjson

ROOT = Path(__file__).parents[1]
WORKERS = ("ingest", "query", "feedback", "web")
TIMEOUT_S = 900.0


def run(argv: Sequence[str | Path], *, cwd: Path | None = None, **environment: str) -> str:
    """Run a command to its end and give its standard output; one that fails ends the bench."""
    done = subprocess.run(
        list(map(str, argv)),
        cwd=cwd,
        env={**_bare_environment(), **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, argv))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def install(folder: Path) -> Path:
    """Install the checkout's wheel without extras into a fresh environment; its bin folder."""
    wheels = folder / "wheels"
    copy_checkout(folder / "source")  # building leaves files behind
    run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", wheels, folder / "source"])
    run([sys.executable, "-m", "venv", folder / "venv"])
    python = folder / "venv" / "bin" / "python"
    run(
        [
            python,
            "-m",
            "pip",
            "install",
            "-q",
            "-c",
            ROOT / "constraints.txt",
            *wheels.glob("lookstream-*.whl"),
        ]
    )
    return folder / "venv" / "bin"


def copy_checkout(folder: Path) -> None:
    """A bare copy of the checkout: what git has, and nothing that a run or a build left."""
    ignore = shutil.ignore_patterns(
        ".git", ".*cache", ".venv", ".lookstream", "build", "*.egg-info"
    )
    shutil.copytree(ROOT, folder, ignore=ignore)


def megabytes(folder: Path) -> float:
    """What the files below a folder take, hard links and folders themselves not counted."""
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def median_ms(runs: int, work: Callable[[], object]) -> float:
    """The median duration of some calls; one more before them warms the disk's cache."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[1:])


def ready_s(binaries: Path, folder: Path) -> float:
    """From the start of `lookstream up` in an empty folder until it says that it is ready."""
    folder.mkdir()
    start = time.perf_counter()
    process = subprocess.Popen(
        [binaries / "lookstream", "up"],
        cwd=folder,
        env=_bare_environment() | {"LOOKSTREAM_DATA_DIR": str(folder / "data")},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if line.startswith("ready"):
                return time.perf_counter() - start
        sys.exit(f"lookstream up ended before it was ready:\n{''.join(lines)}")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def demo_s(folder: Path) -> float:
    """From `make demo` on a bare copy of the checkout until it has printed its table."""
    copy_checkout(folder)
    start = time.perf_counter()
    run(["make", "demo", f"PYTHON={sys.executable}"], cwd=folder)
    return time.perf_counter() - start


def _bare_environment() -> dict[str, str]:
    """Ours without what would lead to this checkout's code, caches or settings."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "LOOKSTREAM_", "VIRTUAL_ENV"))
    }


def main() -> None:
    """Measure, print each figure, and all of them as one JSON line."""
    about, _, usage = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=about, epilog=usage, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--skip-demo", action="store_true", help="leave `make demo` out")
    parser.add_argument("--runs", type=int, default=3, help="of what can be repeated (3)")
    options = parser.parse_args()
    report: dict[str, float] = {}

    def tell(name: str, value: float) -> None:
        report[name] = round(value, 3 if value < 10 else 1)
        print(f"{name:<12} {report[name]:>8}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="lookstream-footprint-") as scratch:
        folder = Path(scratch)
        weights = [file for file in (ROOT / "models" / "weights").rglob("*") if file.is_file()]
        tell("weights_mb", sum(file.stat().st_size for file in weights) / 1e6)
        binaries = install(folder)
        tell("install_mb", megabytes(folder / "venv"))
        python = binaries / "python"
        tell("ready_s", ready_s(binaries, folder / "up"))
        imports = [
            median_ms(options.runs, partial(run, [python, "-c", f"import workers.{name}.worker"]))
            for name in WORKERS
        ]
        tell("import_ms", max(imports))
        tell("help_ms", median_ms(options.runs, lambda: run([binaries / "lookstream", "--help"])))
        if not options.skip_demo:
            tell("demo_s", demo_s(folder / "checkout"))
    print(orjson.dumps(report).decode())


if __name__ == "__main__":
    main()
