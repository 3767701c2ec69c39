"""What became of prototypes that are no more: every name ever given still leads to a live one.

A prototype that was merged leads to the survivor, one that was split to its parts, the nearest
first. What is kept is compressed: from a retired name straight to live ones, so that there are no
chains to follow and no cycle can arise.
"""

from collections.abc import Iterator
from pathlib import Path

import orjson

from index.errors import BankError
from index.prototypes.bank import Name
from index.prototypes.from_clusters import name_key

FILE = "aliases.json"


class Aliases:
    """From retired names to live ones.

    A name that was never retired leads to itself, so `resolve` always has an answer; whether it is
    in a bank is the bank's to say. A retired name never comes back to life.
    """

    def __init__(self) -> None:
        self._live: dict[Name, tuple[Name, ...]] = {}
        self._leading_to: dict[Name, set[Name]] = {}

    def __len__(self) -> int:
        return len(self._live)

    def __contains__(self, name: Name) -> bool:
        """Whether a name is retired."""
        return name in self._live

    def __iter__(self) -> Iterator[Name]:
        """The retired names, in the order in which they were retired."""
        return iter(self._live)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Aliases) and self._live == other._live

    __hash__ = None  # type: ignore[assignment]  # it changes

    def resolve(self, name: Name) -> tuple[Name, ...]:
        """The live names that a name stands for now: one, or the parts of what was split."""
        return self._live.get(name, (name,))

    def retire(self, name: Name, *into: Name) -> None:
        """Let a name lead to others: one that it was merged into, or its parts, nearest first.

        Either side may be retired already: then it is what it stands for that is meant. What both
        sides stand for stays as it is, so that saying the same again changes nothing.

        Raises:
            BankError: nothing to lead to.
        """
        if not into:
            raise BankError(f"{name!r} would lead nowhere: say what it became")
        targets = tuple(dict.fromkeys(live for one in into for live in self.resolve(one)))
        for live in self.resolve(name):
            if live not in targets:
                self._lead(live, targets)

    def copy(self) -> "Aliases":
        """The same, to keep while this one changes."""
        twin = Aliases()
        twin._live = dict(self._live)
        twin._leading_to = {live: set(names) for live, names in self._leading_to.items()}
        return twin

    def save(self, directory: Path) -> None:
        """Write ``aliases.json`` into a folder, beside the bank they belong to."""
        directory.mkdir(parents=True, exist_ok=True)
        pairs = sorted(self._live.items(), key=lambda pair: name_key(pair[0]))
        draft = directory / f".{FILE}"
        draft.write_bytes(orjson.dumps({"aliases": pairs}, option=orjson.OPT_INDENT_2))
        draft.replace(directory / FILE)

    @classmethod
    def load(cls, directory: Path) -> "Aliases":
        """Read aliases back; a folder without them has none.

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
                aliases._lead(name, tuple(into))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BankError(f"no readable aliases in {path}: {error}; copy it again") from error
        return aliases

    def _lead(self, name: Name, targets: tuple[Name, ...]) -> None:
        """Retire a live name, and turn to its targets all that led to it."""
        for old in [*self._leading_to.pop(name, ()), name]:
            before = self._live.get(old, (name,))
            after = dict.fromkeys(
                live for one in before for live in (targets if one == name else (one,))
            )
            self._live[old] = tuple(after)
            for live in after:
                self._leading_to.setdefault(live, set()).add(old)
