"""Metrics of ranking and of calibration."""
