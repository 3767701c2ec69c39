"""Text on terminals: what others wrote is shown, never obeyed."""
