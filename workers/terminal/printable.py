"""Text of others made safe to print: no character of it is a command to the terminal.

Titles, keys and reasons come from whoever can write to a topic. An escape sequence in one could
move the cursor, rewrite lines above, set the window's title or the clipboard (ECMA-48 and what
terminals add to it); a direction override (Trojan Source, arXiv 2111.00169) shows a line in another
order than it has. Such characters are shown as Python and JSON write them: `\\x1b`, `\\u202e`.
"""

from __future__ import annotations

import re

_CONTROL = "\x00-\x1f\x7f-\x9f"
# Line and paragraph separator; embeddings, overrides and isolates of the bidirectional algorithm;
# interlinear annotations; halves of surrogate pairs, which cannot be encoded. Joiners and marks of
# direction stay: Persian, Hebrew and emoji need them.
_OTHER = "\u2028\u2029\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff"

_IN_A_LINE = re.compile(f"[{_CONTROL}{_OTHER}]")
_IN_A_TEXT = re.compile(f"(?![\n\t])[{_CONTROL}{_OTHER}]")
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def printable(text: str, *, lines: bool = False) -> str:
    """The text with every control character written out; with `lines`, line ends and tabs stay.

    What is printable already comes back as it is, so that doing it twice changes nothing.
    """
    return (_IN_A_TEXT if lines else _IN_A_LINE).sub(_written_out, text)


def printable_json(json: str) -> str:
    """The same JSON value without control characters: those below space are escaped already."""
    return _IN_A_LINE.sub(lambda found: f"\\u{ord(found[0]):04x}", json)


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    return _SHORT.get(found[0]) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")
