"""The ways of running: one TOML each (see `workers/settings.py`)."""
