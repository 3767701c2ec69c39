"""The profiles: one TOML for each way of running (see `workers.config.settings`)."""
