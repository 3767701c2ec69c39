"""The files that join the rooms: workers, settings, command line."""
