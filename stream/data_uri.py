"""A picture that travels inside its message: the `data:` URI of a file (RFC 2397, base64)."""

import base64
import mimetypes
from pathlib import Path

# As base64 inside JSON this stays under the 16 MB that our topics accept (stream/connection.py).
INLINE_BYTES = 11_000_000


def data_uri(path: Path) -> str:
    """The content of a file as a URI; its type follows from the file's name. Raises OSError."""
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
