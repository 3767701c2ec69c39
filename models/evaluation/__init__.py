"""Measures of ranking and of calibration."""
