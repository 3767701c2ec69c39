"""Fitting the reranker to ranking lists: listwise learning to rank."""
