"""Names in several languages: examples that keep translations together and letters apart.

The names of emoji, which Unicode's CLDR has in fourteen languages (PyPI's `emoji`; no Polish).
"""

from __future__ import annotations

import random
import re
from importlib import import_module
from typing import Any

from models.catalog.typos import mistype
from models.training.text.queries import QueryExample

LANGUAGES = ("en", "es", "ja", "ko", "pt", "it", "fr", "de", "fa", "id", "zh", "ru", "tr", "ar")
_LEFT_OUT = re.compile(
    r"flag|skin tone|[:(]|\b(man|woman|men|women|person|people|boy|girl|family|couple|kiss)\b"
)
"""People and flags: hundreds of names that differ in one word."""

FULLY_QUALIFIED = 2
MISTYPED_SHARE = 0.6

Names = dict[str, str]


def make_translation_examples(passes: int, run_length: int, seed: int = 0) -> list[QueryExample]:
    """Two queries for each name and pass, in whole runs, the same for a seed.

    In even passes the document is English and the queries are two translations; in odd ones it is
    in any other language, and the queries are in the same and in another one.
    """
    rng = random.Random(seed)
    names = _names()
    examples: list[QueryExample] = []
    for number in range(passes):
        for one in names:
            others = [language for language in one if language != "en"]
            document, asked = "en", rng.sample(others, 2)
            if number % 2:
                document = rng.choice(others)
                asked = [document, rng.choice([other for other in one if other != document])]
            for language in asked:
                query = one[language]
                typed = mistype(query, rng) if rng.random() < MISTYPED_SHARE else query
                # A document with every word of the intent counts as an answer too: none but its
                # own has its words and those of its translation.
                intent = query if language == document else f"{query} {one[document]}"
                examples.append(QueryExample(one[document], typed, intent))
    return examples[: len(examples) - len(examples) % (2 * run_length)]


def _names() -> list[Names]:
    """Names by language of what emoji show, neighbours in Unicode side by side."""
    emoji: Any = import_module("emoji")
    emoji.config.load_language(list(LANGUAGES))
    found: dict[str, tuple[str, Names]] = {}
    for character, entry in emoji.EMOJI_DATA.items():
        name = entry["en"].strip(":").replace("_", " ").lower()
        if entry["status"] == FULLY_QUALIFIED and name not in found and not _LEFT_OUT.search(name):
            found[name] = (
                character,
                {one: entry[one].strip(":").replace("_", " ") for one in LANGUAGES if one in entry},
            )
    return [names for _, names in sorted(found.values(), key=lambda one: one[0])]
