"""Slips of shoppers' fingers: what happens to words between the head and the search box.

Everything is drawn from the `random.Random` that is handed in: the same seed types the same slips.
"""

from __future__ import annotations

import random
import re

ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
SOUNDS = (
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
"""Spellings taken for each other because they sound alike: avocado, avokado."""

SHORTEST = 4
"""Letters: shorter words are typed right, and a slip would leave nothing of them."""


def mistype(text: str, draw: random.Random, slips: int = 1) -> str:
    """The text with so many slips, each in another word while there are words of four letters.

    A slip is a letter left out, put in, doubled, swapped with the next, hit on the neighbouring
    key, or spelt as it sounds; one in a great while changes nothing, like equal letters swapped.
    The first letter mostly stays. Texts without a word of four letters
    come back as they are.
    """
    words = text.split()
    left: list[int] = []
    for _ in range(slips):
        left = left or [at for at, word in enumerate(words) if len(word) >= SHORTEST]
        if not left:
            break
        at = left.pop(draw.randrange(len(left)))
        words[at] = _slip(words[at], draw)
    return " ".join(words)


def corrupt_query(text: str, draw: random.Random) -> str:
    """The text as somebody in a hurry types it: any of the slips below, often several, or none.

    Words left out or in another order, singular for plural and the reverse, words cut
    short or run together, other case, and `mistype`.
    """
    words = text.split()
    if len(words) > 2 and draw.random() < 0.25:
        del words[draw.randrange(len(words))]
    if len(words) > 1 and draw.random() < 0.25:
        draw.shuffle(words)
    words = [_other_number(word) if draw.random() < 0.15 else word for word in words]
    if draw.random() < 0.1:
        at = draw.randrange(len(words))
        words[at] = _shortened(words[at], draw)
    if len(words) > 1 and draw.random() < 0.1:
        at = draw.randrange(len(words) - 1)
        words[at : at + 2] = [words[at] + words[at + 1]]
    typed = mistype(" ".join(words), draw, draw.choices((0, 1, 2), (0.25, 0.5, 0.25))[0])
    return draw.choice((typed, typed, typed.lower(), typed.upper(), typed.title()))


def _slip(word: str, draw: random.Random) -> str:
    at = draw.randrange(0 if draw.random() < 0.1 else 1, len(word))
    kind = draw.randrange(6)
    before, letter, behind = word[:at], word[at], word[at + 1 :]
    match kind:
        case 0:
            slipped = before + behind
        case 1:
            slipped = before + draw.choice("abcdefghijklmnopqrstuvwxyz") + letter + behind
        case 2:
            slipped = before + letter + letter + behind
        case 3:
            slipped = before[:-1] + letter + before[-1:] + behind
        case 4:
            slipped = before + _neighbour(letter, draw) + behind
        case _:
            slipped = _as_it_sounds(word, draw) or before + behind
    return slipped


def _as_it_sounds(word: str, draw: random.Random) -> str:
    """Spelt another way behind its first letter; "" where no rule fits."""
    found = [(old, new) for old, new in SOUNDS if old in word.lower()[1:]]
    if not found:
        return ""
    old, new = draw.choice(found)
    return word[0] + re.sub(old, new, word[1:], count=1, flags=re.IGNORECASE)


def _neighbour(letter: str, draw: random.Random) -> str:
    for number, row in enumerate(ROWS):
        column = row.find(letter.lower())
        if column >= 0:
            near = [row[other] for other in (column - 1, column + 1) if 0 <= other < len(row)]
            near += [one[column] for one in ROWS[number - 1 : number] if column < len(one)]
            return draw.choice(near)
    return draw.choice(ROWS[1])


def _other_number(word: str) -> str:
    if len(word) < SHORTEST or not word.isalpha():
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith("s"):
        return word[:-1]
    return word[:-1] + "ies" if word[-1] == "y" and word[-2] not in "aeiou" else word + "s"


def _shortened(word: str, draw: random.Random) -> str:
    """An abbreviation: the first letters, or the consonants."""
    if len(word) < 6:
        return word
    if draw.random() < 0.7:
        return word[: draw.randint(4, len(word) - 1)]
    return word[0] + re.sub("[aeiou]", "", word[1:])
