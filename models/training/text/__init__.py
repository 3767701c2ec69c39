"""Fitting the text side of the encoder."""
