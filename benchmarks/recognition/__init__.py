"""The parts of `bench embedding`: retrieval tasks, ablations, plots."""
