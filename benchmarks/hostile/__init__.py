"""Hostile inputs for `benchmarks.intake`, each with the verdict it must get."""
