"""What a Markdown file names: links, headings, and what stands in code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.paths import ROOT

FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
CONTINUED = re.compile(r"\\\n\s*")


@dataclass(frozen=True)
class Document:
    """A Markdown file.

    Attributes:
        code: every code span, and every line of a code block, continued lines joined.
        links: targets, as they are written.
        headings: as GitHub makes anchors of them.
    """

    path: Path
    code: tuple[str, ...]
    links: tuple[str, ...]
    headings: frozenset[str]

    def __str__(self) -> str:
        return self.path.relative_to(ROOT).as_posix()


def read_document(path: Path) -> Document:
    """Read a Markdown file."""
    text = path.read_text("utf-8")
    prose = FENCE.sub("", text)
    blocks = (CONTINUED.sub(" ", block) for block in FENCE.findall(text))
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    spans = [" ".join(span.split()) for span in SPAN.findall(prose)]
    return Document(
        path,
        code=(*spans, *filter(None, lines)),
        links=tuple(LINK.findall(prose)),
        headings=frozenset(map(anchor, HEADING.findall(prose))),
    )


def anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
