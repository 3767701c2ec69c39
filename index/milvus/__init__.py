"""Milvus: connections, collections, their two physical layouts, and what they say of themselves."""
