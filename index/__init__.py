"""Prototype banks, and catalogs partitioned by them: the only room that knows Milvus."""
