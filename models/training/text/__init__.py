"""Training the text projection."""
