"""A catalog's own evidence: a sample of its pictures, and what they say about searching it."""
