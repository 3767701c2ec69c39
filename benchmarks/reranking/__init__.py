"""The parts of `bench reranker`: catalogs left out, rerankers of one size, how they merge."""
