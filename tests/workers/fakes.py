"""The room below, made small: an encoder that needs no weights, and pictures of one colour."""

from benchmarks.shop.colours import ColourEncoder, picture_png, picture_uri

__all__ = ["ColourEncoder", "picture_png", "picture_uri"]
