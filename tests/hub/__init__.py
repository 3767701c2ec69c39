"""Fetching encoders from a hub on which everything goes wrong; a benchmark can count it too."""
