"""Compare candidates in chunks, calibrate, merge (Pailitao-VL §5, arXiv 2602.13704)."""
