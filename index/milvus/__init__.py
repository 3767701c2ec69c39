"""Milvus: connections, collections, their two physical layouts and their metadata."""
