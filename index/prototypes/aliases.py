"""Aliases of prototypes: from names that were merged or split to the names that replaced them.

A prototype that was merged leads to the survivor, one that was split to its parts, the nearest
first. Paths are compressed: a retired name maps directly to current ones, so that there are no
chains to follow and no cycles.
"""

from collections.abc import Iterator
from pathlib import Path

import orjson

from index.errors import BankError
from index.prototypes.bank import Name
from index.prototypes.from_clusters import name_key

FILE = "aliases.json"


class Aliases:
    """A map from retired names to current ones.

    A name that was never retired leads to itself; whether it is in a bank is not checked here. A
    retired name is never current again.
    """

    def __init__(self) -> None:
        self._current: dict[Name, tuple[Name, ...]] = {}
        self._retired_into: dict[Name, set[Name]] = {}

    def __len__(self) -> int:
        return len(self._current)

    def __contains__(self, name: Name) -> bool:
        """Whether a name is retired."""
        return name in self._current

    def __iter__(self) -> Iterator[Name]:
        """The retired names, in the order in which they were retired."""
        return iter(self._current)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Aliases) and self._current == other._current

    __hash__ = None  # type: ignore[assignment]  # it changes

    def resolve(self, name: Name) -> tuple[Name, ...]:
        """The current names for a name: one, or the parts of what was split."""
        return self._current.get(name, (name,))

    def retire(self, name: Name, *into: Name) -> None:
        """Let a name lead to others: the survivor of a merge, or its parts, nearest first.

        Retired names on either side are resolved first. Names on both sides stay as they are, so
        that a second call with the same arguments changes nothing.

        Raises:
            BankError: `into` is empty.
        """
        if not into:
            raise BankError(f"{name!r} would lead nowhere: give the names that replace it")
        targets = tuple(dict.fromkeys(current for one in into for current in self.resolve(one)))
        for current in self.resolve(name):
            if current not in targets:
                self._redirect(current, targets)

    def copy(self) -> "Aliases":
        """An independent copy."""
        copy = Aliases()
        copy._current = dict(self._current)
        copy._retired_into = {name: set(retired) for name, retired in self._retired_into.items()}
        return copy

    def save(self, directory: Path) -> None:
        """Write ``aliases.json`` into the folder of the bank they belong to."""
        directory.mkdir(parents=True, exist_ok=True)
        pairs = sorted(self._current.items(), key=lambda pair: name_key(pair[0]))
        draft = directory / f".{FILE}"
        draft.write_bytes(orjson.dumps({"aliases": pairs}, option=orjson.OPT_INDENT_2))
        draft.replace(directory / FILE)

    @classmethod
    def load(cls, directory: Path) -> "Aliases":
        """Read aliases from a bank's folder; none if there is no file.

        Raises:
            BankError: the file is damaged, or a name leads to one that is itself retired.
        """
        path = directory / FILE
        aliases = cls()
        if not path.exists():
            return aliases
        try:
            pairs: list[tuple[Name, list[Name]]] = orjson.loads(path.read_bytes())["aliases"]
            retired = {name for name, _ in pairs}
            for name, into in pairs:
                if not into or not retired.isdisjoint(into) or name in aliases:
                    raise ValueError(f"{name!r} leads to {into!r}")
                aliases._redirect(name, tuple(into))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BankError(f"no readable aliases in {path}: {error}; copy it again") from error
        return aliases

    def _redirect(self, name: Name, targets: tuple[Name, ...]) -> None:
        """Retire a current name, and redirect the names that led to it."""
        for old in [*self._retired_into.pop(name, ()), name]:
            before = self._current.get(old, (name,))
            after = dict.fromkeys(
                current for one in before for current in (targets if one == name else (one,))
            )
            self._current[old] = tuple(after)
            for current in after:
                self._retired_into.setdefault(current, set()).add(old)
