"""Markup in a product's words: its text, for people and models to read."""

from __future__ import annotations

import html
import re

# Only tags of HTML, and only where their attributes have values: "a<b and c>d" is no markup.
_NAMES = (
    "a abbr acronym address article aside b big blockquote body br button caption center cite "
    "code col colgroup dd del details dfn div dl dt em fieldset figcaption figure font footer "
    "form h1 h2 h3 h4 h5 h6 head header hr html i iframe img input ins kbd label legend li link "
    "main mark meta nav noscript ol option p picture pre q s samp script section select small "
    "source span strike strong style sub summary sup svg table tbody td textarea tfoot th thead "
    "time title tr tt u ul var video wbr"
)
_INLINE = (
    "a abbr acronym b big cite code del dfn em font i ins kbd label mark q s samp small span "
    "strike strong sub sup time tt u var wbr"
)
"""Tags that may stand in the middle of a word; all others separate words."""

_TAG = re.compile(
    rf"<(/?)({'|'.join(sorted(_NAMES.split(), key=len, reverse=True))})"
    r"""((?:\s+[a-z][\w:.-]*\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>]+))*)\s*/?>""",
    re.IGNORECASE,
)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
MOST_PASSES = 3
"""An export may escape its markup once more; each pass undoes one layer."""


def strip_html(text: str) -> str:
    """The text without tags, comments, scripts and entities; unchanged if there are none."""
    for _ in range(MOST_PASSES):
        if (plain := _strip(text)) == text:
            break
        text = plain
    return text


def _strip(text: str) -> str:
    if "<" not in text and "&" not in text:
        return text
    plain, inline = text, _INLINE.split()
    if "<" in text:
        plain = _without(plain, "<!--", "-->")
        for name in ("script", "style"):
            plain = _without(plain, f"<{name}", f"</{name}>")
        plain = _TAG.sub(lambda tag: "" if tag[2].lower() in inline else " ", plain)
    plain = _ENTITY.sub(lambda entity: html.unescape(entity[0]), plain)
    return text if plain == text else " ".join(plain.split())


def _without(text: str, begin: str, end: str) -> str:
    """The text without what lies between two marks, in linear time; an open one is left."""
    lower, kept, at = text.lower(), [], 0
    if len(lower) != len(text):  # a letter whose lower case is longer: İ
        lower = text
    while (start := lower.find(begin, at)) >= 0 and (stop := lower.find(end, start)) >= 0:
        kept.append(text[at:start])
        at = stop + len(end)
    return " ".join([*kept, text[at:]]) if kept else text
