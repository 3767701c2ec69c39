"""Settings, secrets, and what they configure in `stream`, `index` and `models`."""
