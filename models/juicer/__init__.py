"""Juice: patches, object classes and captions of pictures (DataJuicer, arXiv 2503.14559)."""
