"""What is squeezed out of a picture and its text once (DataJuicer, arXiv 2503.14559)."""
