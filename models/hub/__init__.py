"""Encoders by one word: which there are, and fetching them from a hub such as Hugging Face."""
