"""Text on terminals."""
