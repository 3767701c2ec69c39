"""The prototype bank and the collections keyed by it: the only room that knows Milvus."""
