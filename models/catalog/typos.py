"""Typos: how what shoppers type differs from what they mean.

Everything is drawn from the `random.Random` that is passed in: the same seed gives the same typos.
"""

from __future__ import annotations

import random
import re
import unicodedata

_ALPHABET = "abcdefghijklmnopqrstuvwxyz"
KEYBOARD_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
PHONETIC_SPELLINGS = (
    ("ck", "k"),
    ("ph", "f"),
    ("gh", ""),
    ("qu", "kw"),
    ("ou", "u"),
    ("oo", "u"),
    ("ea", "ee"),
    ("ie", "ei"),
    ("ei", "ie"),
    ("c", "k"),
    ("k", "c"),
    ("c", "s"),
    ("z", "s"),
    ("s", "z"),
    ("y", "i"),
    ("i", "y"),
    ("x", "ks"),
    ("w", "v"),
)
"""Spellings that sound alike: avocado, avokado."""

MIN_LETTERS = 4
"""Of a word that gets a typo: little would be left of shorter ones."""


def mistype(text: str, rng: random.Random, count: int = 1) -> str:
    """The text with ``count`` typos, each in another word while there are words of four letters.

    A typo is a letter deleted, inserted, doubled, transposed with the next or replaced by one of an
    adjacent key, or a phonetic spelling; a few change nothing, like equal letters transposed. In
    other alphabets letters of the word itself stand for those of the keyboard, and an accent may be
    left out. The first letter mostly stays. Texts without a word of four letters come back as they
    are.
    """
    words = text.split()
    untouched: list[int] = []
    for _ in range(count):
        untouched = untouched or [at for at, word in enumerate(words) if len(word) >= MIN_LETTERS]
        if not untouched:
            break
        at = untouched.pop(rng.randrange(len(untouched)))
        words[at] = _add_typo(words[at], rng)
    return " ".join(words)


def corrupt_query(text: str, rng: random.Random) -> str:
    """The text as somebody in a hurry types it, with any of these, often several, or none:

    words left out or in another order, singular for plural and the reverse, words abbreviated or
    joined, another case, and the typos of `mistype`.
    """
    words = text.split()
    if len(words) > 2 and rng.random() < 0.25:
        del words[rng.randrange(len(words))]
    if len(words) > 1 and rng.random() < 0.25:
        rng.shuffle(words)
    words = [_toggle_plural(word) if rng.random() < 0.15 else word for word in words]
    if rng.random() < 0.1:
        at = rng.randrange(len(words))
        words[at] = _abbreviate(words[at], rng)
    if len(words) > 1 and rng.random() < 0.1:
        at = rng.randrange(len(words) - 1)
        words[at : at + 2] = [words[at] + words[at + 1]]
    typed = mistype(" ".join(words), rng, rng.choices((0, 1, 2), (0.25, 0.5, 0.25))[0])
    return rng.choice((typed, typed, typed.lower(), typed.upper(), typed.title()))


def _add_typo(word: str, rng: random.Random) -> str:
    at = rng.randrange(0 if rng.random() < 0.1 else 1, len(word))
    kind = rng.randrange(6)
    before, letter, behind = word[:at], word[at], word[at + 1 :]
    match kind:
        case 0:
            typed = before + behind
        case 1:
            typed = before + _any_letter(word, rng) + letter + behind
        case 2:
            typed = before + letter + letter + behind
        case 3:
            typed = before[:-1] + letter + before[-1:] + behind
        case 4:
            typed = before + _adjacent_key(letter, word, rng) + behind
        case _:
            typed = _spell_phonetically(word, rng) or before + behind
    return typed


def _spell_phonetically(word: str, rng: random.Random) -> str:
    """The word spelt another way after its first letter; "" where no rule applies."""
    found = [(old, new) for old, new in PHONETIC_SPELLINGS if old in word.lower()[1:]]
    if not found:
        return ""
    old, new = rng.choice(found)
    return word[0] + re.sub(old, new, word[1:], count=1, flags=re.IGNORECASE)


def _any_letter(word: str, rng: random.Random) -> str:
    """Any letter of the alphabet, or of a word in another one."""
    return rng.choice(_ALPHABET if word.isascii() else word)


def _adjacent_key(letter: str, word: str, rng: random.Random) -> str:
    """A letter beside it; of one that no key has, the one without its accent, or another's."""
    bare = unicodedata.normalize("NFD", letter)[0]
    if bare != letter and bare.lower() in _ALPHABET:
        return bare
    for number, row in enumerate(KEYBOARD_ROWS):
        column = row.find(letter.lower())
        if column >= 0:
            near = [row[other] for other in (column - 1, column + 1) if 0 <= other < len(row)]
            near += [one[column] for one in KEYBOARD_ROWS[number - 1 : number] if column < len(one)]
            return rng.choice(near)
    return rng.choice(KEYBOARD_ROWS[1] if word.isascii() else word)


def _toggle_plural(word: str) -> str:
    if len(word) < MIN_LETTERS or not word.isalpha():
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith("s"):
        return word[:-1]
    return word[:-1] + "ies" if word[-1] == "y" and word[-2] not in "aeiou" else word + "s"


def _abbreviate(word: str, rng: random.Random) -> str:
    """An abbreviation: the first letters, or the consonants."""
    if len(word) < 6:
        return word
    if rng.random() < 0.7:
        return word[: rng.randint(4, len(word) - 1)]
    return word[0] + re.sub("[aeiou]", "", word[1:])
