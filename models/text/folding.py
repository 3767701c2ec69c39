"""Texts that differ only in how they are typed, made equal: case, width, marks, spacing.

`fold_text` is what every text goes through; `fold_letters` also takes away what shoppers leave out
in a hurry, and is for comparing letters only. Meaning is read with the marks: the encoders know
them.
"""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"\w+")
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
"""Kana, Han and Hangul: a character is a syllable or a word, and words need no space between."""

_RUN = re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}]+")
_UNSPACED_CHARACTER = re.compile(f"[{_UNSPACED}]")
_MARKS = re.compile("[\u0300-\u036f\u064b-\u065f\u0670]")
"""Accents, and the vowel marks of Arabic. The marks of Indic scripts are vowels: they stay."""

_SAME_LETTERS = str.maketrans(
    {
        "ł": "l",
        "ø": "o",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "æ": "ae",
        "œ": "oe",
        "ı": "i",
        "\u0640": None,  # the stroke that stretches a word in Arabic
        "\u0671": "\u0627",  # forms of alef
        "\u0649": "\u064a",  # alef maksura: yeh
        "\u0629": "\u0647",  # teh marbuta: heh
    }
)
"""Letters typed for each other that no decomposition makes equal."""


def fold_text(text: str) -> str:
    """Fold case and width, drop control characters, join white space; may return ""."""
    return _printable(unicodedata.normalize("NFKC", text).casefold())


def keep_case(text: str) -> str:
    """As `fold_text`, with its case, which tells German nouns; but SHOUTED texts in small letters.

    For encoders that know of case.
    """
    folded = _printable(unicodedata.normalize("NFKC", text))
    return folded.lower() if folded.isupper() else folded


def fold_letters(text: str) -> str:
    """As `fold_text`, without accents and vowel marks: "Plátano" and "platano" are one text."""
    bare = unicodedata.normalize("NFD", fold_text(text))
    return unicodedata.normalize("NFC", _MARKS.sub("", bare)).translate(_SAME_LETTERS)


def letter_runs(text: str) -> list[str]:
    """The words of a text, cut where a script with spaces meets one without: "红色xl码"."""
    return [run for word in _WORD.findall(text) for run in _RUN.findall(word)]


def has_unspaced(text: str) -> bool:
    """Whether it has a character of a script that needs no space between words."""
    return _UNSPACED_CHARACTER.search(text) is not None


def grams_of_run(run: str, before: str, after: str) -> list[str]:
    """What is compared of a run: trigrams with its ends, or pairs where no space ends a word.

    A single character without spaces stands for itself.
    """
    if _UNSPACED_CHARACTER.match(run):
        return [run[at : at + 2] for at in range(max(1, len(run) - 1))]
    padded = f"{before}{run}{after}"
    return [padded[at : at + 3] for at in range(len(padded) - 2)]


def _printable(text: str) -> str:
    kept = "".join(c if unicodedata.category(c)[0] != "C" else " " for c in text)
    return " ".join(kept.split())
