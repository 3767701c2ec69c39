"""The query worker: retrieve, rerank, answer."""
