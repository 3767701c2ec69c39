"""Prototype banks: made, kept, looked up, and brought up to date."""
