"""Catalogs and photos as they lie on disk."""
