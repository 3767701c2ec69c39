"""The parts of `bench catalogs`: catalogs left out, the ways to search them, intervals, plots."""
