"""Columns of a table of products: one field each, encoded by a dictionary of its distinct values.

A comparison looks at each distinct value once, and a facet counts codes, so that both take
microseconds a thousand products whatever the type of the values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from index.search.filter import PATH, Between, OneOf, Value

Mask: TypeAlias = NDArray[np.bool_]
Path: TypeAlias = tuple[str, ...]
Key: TypeAlias = tuple[str, Value | Path]

MISSING = -1
STALE = 1024
"""How many values that no product has any more a dictionary keeps, beyond as many as are used."""
FEW = 64
SPARSE = 32
"""A column is in an array once it has this many values, and one slot in so many has one."""
TEXT, NUMBER, BOOLEAN, PATHS = "text", "number", "boolean", "path"


def key_of(value: Any) -> Key:
    """The value with its type: 1 and true are equal in Python, and not here."""
    if isinstance(value, bool):
        return BOOLEAN, value
    if isinstance(value, int | float):
        return NUMBER, float(value)
    if isinstance(value, tuple):
        return PATHS, value
    return TEXT, str(value)


class Column:
    """The values of one field by slot; a slot without one is `MISSING`.

    While few slots have one they are in a dictionary: a shop may have thousands of attributes that
    hardly any product has.
    """

    def __init__(self) -> None:
        self._few: dict[int, int] | None = {}
        self._codes = np.zeros(0, np.int32)
        self._keys: list[Key] = []
        self._code_of: dict[Key, int] = {}
        self._numbers: NDArray[np.float64] | None = None
        """The keys that are numbers, NaN for the others; None until it is asked for."""
        self._set = 0
        """Slots with a value."""

    @property
    def empty(self) -> bool:
        """Whether no slot has a value."""
        return self._set == 0

    def put(self, values: Mapping[int, Any]) -> None:
        """Set the values of some slots; None takes one away."""
        codes = [MISSING if one is None else self._code(key_of(one)) for one in values.values()]
        if self._few is not None:
            self._put_few(self._few, zip(values, codes, strict=True))
        elif codes:
            self._put_dense(np.fromiter(values, np.int64, len(values)), np.array(codes, np.int32))

    def value(self, slot: int) -> Value | Path | None:
        """The value of a slot; None where it has none."""
        code = self._code_at(slot)
        return None if code == MISSING else self._keys[code][1]

    def codes(self, size: int) -> NDArray[np.int32]:
        """The codes of the first slots, (size,)."""
        known = self._codes[:size]
        found = np.pad(known, (0, size - len(known)), constant_values=MISSING)
        if self._few:
            found[list(self._few)] = list(self._few.values())
        return found

    def numbers(self, size: int) -> NDArray[np.float64]:
        """The numbers of the first slots, (size,); NaN where a value is missing, or none."""
        return np.append(self._key_numbers(), np.nan)[self.codes(size)]

    def select(self, comparison: OneOf | Between, size: int) -> Mask:
        """For which of the first slots a comparison holds, (size,)."""
        if isinstance(comparison, Between):
            holds = self._between(comparison)
            negated = False
        else:
            holds = self._one_of(comparison.values)
            negated = comparison.negated
        # The last entry is what MISSING, −1, refers to.
        found: Mask = np.append(holds, False)[self.codes(size)]
        return ~found if negated else found

    def counts(self, mask: Mask) -> list[tuple[Key, int]]:
        """How many of the slots in a mask have each value, without those that none has."""
        codes = self.codes(len(mask))[mask]
        numbers = np.bincount(codes[codes != MISSING], minlength=len(self._keys))
        return [(self._keys[code], int(numbers[code])) for code in np.flatnonzero(numbers)]

    def shrink(self) -> None:
        """Drop values that no slot has any more, where they are many: prices change all day."""
        if len(self._keys) <= 2 * self._set + STALE:
            return
        codes = self.codes(self._end())
        used = np.unique(codes[codes != MISSING])
        new_code = np.full(len(self._keys) + 1, MISSING, np.int32)
        new_code[used] = np.arange(len(used))
        self._keys = [self._keys[code] for code in used]
        self._code_of = {key: code for code, key in enumerate(self._keys)}
        self._numbers = None
        self._codes = new_code[self._codes]
        if self._few:
            self._few = {slot: int(new_code[code]) for slot, code in self._few.items()}

    def _end(self) -> int:
        return len(self._codes) if self._few is None else max(self._few, default=-1) + 1

    def _code_at(self, slot: int) -> int:
        if self._few is not None:
            return self._few.get(slot, MISSING)
        return int(self._codes[slot]) if slot < len(self._codes) else MISSING

    def _put_few(self, few: dict[int, int], codes: Iterable[tuple[int, int]]) -> None:
        slot = 0
        for slot, code in codes:
            if code == MISSING:
                few.pop(slot, None)
            else:
                few[slot] = code
        self._set = len(few)
        if self._set >= FEW and self._set * SPARSE > slot:
            self._few, self._set = None, 0
            slots = np.fromiter(few, np.int64, len(few))
            self._put_dense(slots, np.fromiter(few.values(), np.int32, len(few)))

    def _put_dense(self, slots: NDArray[np.int64], codes: NDArray[np.int32]) -> None:
        last = int(slots.max())
        if last >= len(self._codes):
            longer = np.full(max(64, 2 * last), MISSING, np.int32)
            longer[: len(self._codes)] = self._codes
            self._codes = longer
        had = np.count_nonzero(self._codes[slots] != MISSING)
        self._set += int(np.count_nonzero(codes != MISSING)) - int(had)
        self._codes[slots] = codes

    def _code(self, key: Key) -> int:
        code = self._code_of.setdefault(key, len(self._keys))
        if code == len(self._keys):
            self._keys.append(key)
            self._numbers = None
        return code

    def _key_numbers(self) -> NDArray[np.float64]:
        if self._numbers is None:
            self._numbers = np.array(
                [value if kind == NUMBER else np.nan for kind, value in self._keys], np.float64
            )
        return self._numbers

    def _between(self, wanted: Between) -> Mask:
        numbers = self._key_numbers()  # NaN compares as false
        above = numbers >= wanted.low if wanted.with_low else numbers > wanted.low
        below = numbers <= wanted.high if wanted.with_high else numbers < wanted.high
        both: Mask = above & below
        return both

    def _one_of(self, values: tuple[Value, ...]) -> Mask:
        holds = np.zeros(len(self._keys), bool)
        holds[[self._code_of[key] for key in map(key_of, values) if key in self._code_of]] = True
        return holds


class CategoryColumn(Column):
    """Paths of categories: a value stands for the subtree of a node."""

    def subtrees(self, mask: Mask) -> dict[str, int]:
        """How many of the slots in a mask are below each node, by its path from the root."""
        found: dict[str, int] = {}
        for (_, path), count in self.counts(mask):
            assert isinstance(path, tuple)  # noqa: S101 - only paths are put here
            for node in prefixes(path):
                found[node] = found.get(node, 0) + count
        return found

    def _one_of(self, values: tuple[Value, ...]) -> Mask:
        wanted = set(values)
        return np.array(
            [
                isinstance(path, tuple) and not wanted.isdisjoint((*path, *prefixes(path)))
                for _, path in self._keys
            ],
            bool,
        )


def prefixes(path: Path) -> list[str]:
    """The nodes of a path, each as the path from the root to it."""
    return [PATH.join(path[: end + 1]) for end in range(len(path))]
