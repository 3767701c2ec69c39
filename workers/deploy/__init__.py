"""Processes: supervisor, signals, telemetry, doctor."""
