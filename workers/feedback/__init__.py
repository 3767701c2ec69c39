"""The feedback worker: impressions joined with clicks."""
