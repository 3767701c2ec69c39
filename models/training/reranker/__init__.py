"""Fitting the reranker to ranking lists."""
