"""A simulated shop: its catalog events, the workers that ingest them, and what fails meanwhile."""
