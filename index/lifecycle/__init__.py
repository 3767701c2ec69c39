"""Changing a whole catalog: another prototype bank, another generation."""
