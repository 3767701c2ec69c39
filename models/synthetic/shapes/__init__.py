"""Parametric shapes of products, by what they are for."""
