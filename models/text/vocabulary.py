"""A catalog's own words, and query words repaired by them: typos, compounds, abbreviations.

What shoppers mistype is looked for among the words of the products that there are, so that brands
count like words of a language, and nothing is suggested that finds nothing. The words come and go
with the products. Distances are RapidFuzz's (optimal string alignment: a letter left out, added,
replaced, or two neighbours exchanged is one edit).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from rapidfuzz import process
from rapidfuzz.distance import OSA

from models.text.folding import fold_letters, has_unspaced

ONE_EDIT, TWO_EDITS = 4, 8
"""Letters from which a word may be one edit, or two, from what is meant; the usual ones of search
engines. Shorter words are left alone: most of them are near to another one."""
FOREIGN_FROM = 3
"""Words from which a query says by them in which language it is."""
MIN_PREFIX = 4
"""Letters of a word's beginning that stand for it."""
MIN_CONSONANTS = 3
"""Letters of an abbreviation without vowels: "chclt"."""
NEAREST = 32
"""Words that are looked at, nearest first."""

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|\w+")
_VOWELS = re.compile("[aeiouy]")


class Vocabulary:
    """The words of a catalog's products. Not thread-safe.

    Args:
        normalise: makes words equal that the text encoder takes for equal, as plurals.
        knows: whether a word is common in a language that the text encoder reads; such a word is
            no typo, even where no product has it.
    """

    def __init__(self, normalise: Callable[[str], str], knows: Callable[[str], bool]) -> None:
        self._normalise = normalise
        self._knows = knows
        self._spellings: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """The spellings of each form, with the number of texts that have them."""
        self._pairs: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """Neighbours without the space between them, as they are spelt with it."""
        self._abbreviated: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """Forms by their consonants."""
        self._described: Counter[str] = Counter()
        """Forms in descriptions: they are no typos, and too many to be what is meant."""

    def __len__(self) -> int:
        """How many words there are that differ in more than their number or accents."""
        return len(self._spellings)

    def add(self, names: Sequence[str], description: str = "") -> None:
        """A product that is there now: its title, categories and attributes; its description."""
        self._count(names, description, 1)

    def remove(self, names: Sequence[str], description: str = "") -> None:
        """What was added of a product that is gone, or has others now."""
        self._count(names, description, -1)

    def __contains__(self, word: str) -> bool:
        """Whether a product has this word, in any number, case or accents."""
        form = self._form(word)
        return form in self._spellings or form in self._described

    def repair(self, text: str) -> str:
        """A query as it is probably meant; the text itself where there is nothing to repair.

        A word that a product has is never changed, nor a common one. Spacing and punctuation
        between words stay.
        """
        found = list(_WORD.finditer(text))
        if self._is_foreign([one.group() for one in found]):
            return text
        pieces, end, at = [], 0, 0
        changed = False
        while at < len(found):
            here = found[at]
            after = found[at + 1] if at + 1 < len(found) else None
            written, used = self._joined(here, after)
            if not written:
                near = [
                    one.group() for one in (*found[max(0, at - 1) : at], *found[at + 1 : at + 2])
                ]
                written, used = self._meant(here.group(), near), 1
            last = found[at + used - 1]
            if written:
                changed = True
                pieces += [text[end : here.start()], written]
                end = last.end()
            at += used
        return "".join([*pieces, text[end:]]) if changed else text

    def _is_foreign(self, words: Sequence[str]) -> bool:
        """Whether most of a query's words are strange here: it is in another language then."""
        had = sum(word in self for word in words)
        return len(words) >= FOREIGN_FROM and 2 * had < len(words) - 1

    def _joined(self, here: re.Match[str], after: re.Match[str] | None) -> tuple[str, int]:
        """A word that was written as two: its spelling and 2, or "" and 1."""
        if after is None or (here.group() in self and after.group() in self):
            return "", 1
        form = self._form(here.group() + after.group())
        return (self._spelling(form), 2) if form in self._spellings else ("", 1)

    def _meant(self, word: str, near: Sequence[str]) -> str:
        """What a word between others stands for; "" where it stays."""
        if word in self or not _repairable(word):
            return ""
        form = self._form(word)
        if form in self._pairs:
            return self._pairs[form].most_common(1)[0][0]
        if self._knows(word):
            return ""
        meant = self._nearest(word, near) or self._abbreviation(form)
        return self._spelling(meant) if meant else ""

    def _nearest(self, word: str, near: Sequence[str]) -> str:
        """The form of fewest edits; of as near ones that which stands beside its neighbours in a
        product's names, begins with the same letter, and that most products have."""
        typed = fold_letters(word)
        # The letter that is wrong may hide a plural: "lemnos".
        read_as = {self._form(word), typed, typed.removesuffix("s")}
        edits = 1 if len(typed) < TWO_EDITS else 2
        found: dict[str, float] = {}
        for one in sorted(read_as):
            for form, distance, _ in process.extract(
                one, self._spellings.keys(), scorer=OSA.distance, score_cutoff=edits, limit=NEAREST
            ):
                if len(form) >= ONE_EDIT - 1 and (distance < 2 or form[0] == typed[0]):
                    found[form] = min(distance, found.get(form, distance))
        beside = {form: self._beside(form, near) for form in found}
        if len(typed) < ONE_EDIT:  # near to many others
            found = {form: found[form] for form, texts in beside.items() if texts}

        def order(form: str) -> tuple[float, int, bool, int, str]:
            return found[form], -beside[form], form[0] != typed[0], -self._uses(form), form

        return min(found, key=order, default="")

    def _beside(self, form: str, near: Sequence[str]) -> int:
        """How many texts have it beside one of these words."""
        spelling = self._spelling(form)
        orders = (other + spelling for other in near), (spelling + other for other in near)
        return sum(
            self._pairs[key].total()
            for one in orders
            for key in map(self._form, one)
            if key in self._pairs
        )

    def _abbreviation(self, form: str) -> str:
        """The only word that begins so, or that has these consonants."""
        if len(form) >= MIN_PREFIX:
            begin = [one for one in self._spellings if one.startswith(form)]
            if len(begin) == 1:
                return begin[0]
        same = self._abbreviated.get(form, ()) if not _VOWELS.search(form[1:]) else ()
        return next(iter(same)) if len(same) == 1 else ""

    def _uses(self, form: str) -> int:
        return self._spellings[form].total()

    def _spelling(self, form: str) -> str:
        """Its most frequent spelling."""
        return min(self._spellings[form].items(), key=lambda one: (-one[1], one[0]))[0]

    def _form(self, word: str) -> str:
        return fold_letters(self._normalise(word))

    def _count(self, names: Sequence[str], description: str, by: int) -> None:
        for name in names:
            for word, form in self._forms_of(name).items():
                self._add(self._spellings, form, word, by)
                short = form[:1] + _VOWELS.sub("", form[1:])
                if MIN_CONSONANTS <= len(short) < len(form):
                    self._add(self._abbreviated, short, form, by)
            for pair in _neighbours(name):
                self._add(self._pairs, self._form("".join(pair)), " ".join(pair), by)
        for form in set(self._forms_of(description).values()):
            self._described[form] += by
            if self._described[form] <= 0:
                del self._described[form]

    def _forms_of(self, text: str) -> dict[str, str]:
        """The form of each word of a text."""
        return {word: self._form(word) for word in set(_WORD.findall(text)) if _repairable(word)}

    @staticmethod
    def _add(counts: defaultdict[str, Counter[str]], key: str, name: str, by: int) -> None:
        of_key = counts[key]
        of_key[name] += by
        if of_key[name] <= 0:
            del of_key[name]
        if not of_key:
            del counts[key]


def _neighbours(text: str) -> Iterator[tuple[str, str]]:
    """Words with nothing but a space or a hyphen between them."""
    found = list(_WORD.finditer(text))
    for one, other in pairwise(found):
        both = one.group(), other.group()
        if text[one.end() : other.start()] in (" ", "-") and all(map(_repairable, both)):
            yield both


def _repairable(word: str) -> bool:
    """Whether a word is of letters, in a script that has spaces between words."""
    return not any(one.isdigit() or one == "_" for one in word) and not has_unspaced(word)
