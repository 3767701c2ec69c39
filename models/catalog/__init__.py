"""Catalog folders: products and photos on disk, and typos for their queries."""
