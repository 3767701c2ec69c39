"""Prototype banks: building, storing, searching and updating them."""
