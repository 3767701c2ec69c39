"""The ingest worker: catalog events become rows."""
