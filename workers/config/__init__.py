"""Settings, secrets, and how they are wired to the rooms."""
