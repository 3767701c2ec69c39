"""Hostile picture references, each with what intake must make of it, and the server for them.

Tests of intake use single ones; `benchmarks.intake` puts all of them through and measures.
"""
