"""A simulated shop: its events, the workers that take them, and what the index must then hold."""
