"""The ingest worker with an encoder that costs no time: `python -m tests.doubles.ingest_worker`.

Everything else is what `lookstream worker ingest` runs; settings come from the environment.
"""

from tests.doubles.colours import ColourEncoder
from workers.config.settings import load_settings
from workers.deploy.telemetry import configure_logging
from workers.ingest.worker import run_ingest

if __name__ == "__main__":
    settings = load_settings()
    configure_logging(settings.log_level)
    run_ingest(settings, ColourEncoder())
