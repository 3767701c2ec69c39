"""The ingest worker with an encoder that takes no time: `python -m benchmarks.shop.worker`.

Everything else is the worker that `lookstream worker ingest` runs; settings come from the
environment. Each process keeps a file of its own in `DATA_DIR/tallies`, one number per batch: how
many records it brought to an end.
"""

import os
from pathlib import Path

from benchmarks.shop.colours import ColourEncoder
from stream.delivery import BatchResult
from workers.config.settings import load_settings
from workers.deploy.telemetry import configure_logging
from workers.ingest.worker import run_ingest


def main() -> None:
    """Run until a signal comes."""
    settings = load_settings()
    configure_logging(settings.log_level)
    tallies = batch_results_in(settings.data_dir)
    tallies.mkdir(exist_ok=True)
    with (tallies / str(os.getpid())).open("a", buffering=1) as file:

        def note(result: BatchResult) -> None:
            file.write(f"{result.total}\n")

        run_ingest(settings, ColourEncoder(), note)


def batch_results_in(data_dir: Path) -> Path:
    """The folder of these files."""
    return data_dir / "tallies"


def handled(data_dir: Path) -> int:
    """Records that all workers brought to an end; one that came twice counts twice."""
    files = batch_results_in(data_dir).glob("*")
    return sum(int(line) for file in files for line in file.read_text().split())


if __name__ == "__main__":
    main()
