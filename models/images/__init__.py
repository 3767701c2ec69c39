"""Pictures as arrays: reading files, letterboxing, colour histograms, corruptions."""
