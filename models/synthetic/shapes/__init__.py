"""Parametric shapes of products, one module for each parent category."""
