"""The ingest worker with an encoder that takes no time: `python -m benchmarks.shop.worker`.

Everything else is the worker that `lookstream worker ingest` runs; settings come from the
environment.
"""

from benchmarks.shop.colours import ColourEncoder
from workers.run import run_ingest
from workers.settings import load_settings
from workers.telemetry import configure_logging


def main() -> None:
    """Run until a signal comes."""
    settings = load_settings()
    configure_logging(settings.log_level)
    run_ingest(settings, ColourEncoder())


if __name__ == "__main__":
    main()
