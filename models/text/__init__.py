"""Text in, vectors and overlaps out."""
