"""The ingest worker with an encoder that costs no time: `python -m benchmarks.shop.worker`.

Everything else is the worker that `lookstream worker ingest` runs; settings come from the
environment. Each process writes a file of its own in `DATA_DIR/handled`: one number per batch, how
many of its records ended (applied, superseded or dead-lettered).
"""

import os
from pathlib import Path

from stream.delivery import BatchResult
from tests.doubles.colours import ColourEncoder
from workers.config.settings import load_settings
from workers.deploy.telemetry import configure_logging
from workers.ingest.worker import run_ingest


def main() -> None:
    """Run until a signal comes."""
    settings = load_settings()
    configure_logging(settings.log_level)
    folder = _folder(settings.data_dir)
    folder.mkdir(exist_ok=True)
    with (folder / str(os.getpid())).open("a", buffering=1) as file:

        def write(result: BatchResult) -> None:
            file.write(f"{result.total}\n")

        run_ingest(settings, ColourEncoder(), write)


def count_handled(data_dir: Path) -> int:
    """Records that all workers handled; a record that was delivered twice counts twice."""
    files = _folder(data_dir).glob("*")
    return sum(int(line) for file in files for line in file.read_text().split())


def _folder(data_dir: Path) -> Path:
    return data_dir / "handled"


if __name__ == "__main__":
    main()
