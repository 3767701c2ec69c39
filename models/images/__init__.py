"""Pictures as arrays: files, letterboxing, colours, corruptions."""
