"""Catalogs as others write them, change streams and feeds, made catalog events without code."""
