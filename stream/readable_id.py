"""The `query_id` of a query that does not decode, so that whoever waits for an answer gets one.

The bytes may be no query, and no JSON either: too deeply nested, cut off, with a number or half a
surrogate pair that no parser takes. So they are only split into tokens, and the string that follows
the key at the outermost level is checked like any id.
"""

import re
from collections.abc import Iterator

import msgspec

from stream.messages import Id

FIELD = "query_id"

# Strings with their quotes, and what structures the text; numbers, literals and blanks are skipped.
# Possessive quantifiers: a picture of megabytes may be among the strings.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\]:,]', re.DOTALL)
_id = msgspec.json.Decoder(Id)
_text = msgspec.json.Decoder(str)


def readable_id(data: bytes | None) -> str | None:
    """The last `query_id` of the outermost object, None where there is none or it is no id."""
    found: bytes | None = None
    for key, value in _outermost_strings(data or b""):
        if _decoded(key, _text) == FIELD:
            found = value
    return None if found is None else _decoded(found, _id)


def _outermost_strings(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Key and value, with their quotes, of every member of the outermost object that is a string.

    A value that is no string comes empty.
    """
    if not data.lstrip(b" \t\r\n\xef\xbb\xbf").startswith(b"{"):
        return
    depth, key, before = 0, b"", b""
    for match in _TOKEN.finditer(data):
        token = match[0]
        if before == b":" and key and depth == 1:
            yield key, token if token.startswith(b'"') else b""
            key = b""
        if token in (b"{", b"["):
            depth += 1
        elif token in (b"}", b"]"):
            depth -= 1
            if depth == 0:
                return
        elif token.startswith(b'"') and depth == 1 and before in (b"{", b","):
            key = token
        before = token


def _decoded(token: bytes, decoder: msgspec.json.Decoder[str]) -> str | None:
    try:
        return decoder.decode(token)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
