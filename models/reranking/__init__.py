"""Compare candidates side by side, calibrate, merge (Pailitao-VL §5, arXiv 2602.13704)."""
