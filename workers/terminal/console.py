"""The console of every command: a string is text, in which nothing is markup, emoji or control."""

from __future__ import annotations

from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from workers.terminal.printable import printable


class SafeConsole(Console):
    """Rich's console for text of others; where we style a line ourselves, it is a `Text`.

    Args:
        stderr: standard error in place of standard output.
        file: another stream.
    """

    def __init__(self, *, stderr: bool = False, file: TextIO | None = None) -> None:
        super().__init__(stderr=stderr, file=file, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Every string that is printed comes through here, and those in tables too."""
        return super().render_str(printable(text, lines=True), **options)
