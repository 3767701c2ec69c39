"""Errors of the client that only HTTP has."""

from stream.errors import StreamError


class AccessDenied(StreamError):
    """The server wants an API key, or one with another scope; the text says which."""
