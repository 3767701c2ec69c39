"""The folder of prototype banks: `DIR/banks/<version>/`, and `DIR/banks/current` naming one.

A collection's metadata says which bank its rows are assigned by, and decides; `current` is for
processes that start before there is a collection. All processes of one catalog need the same
folder. A large bank is kept in two forms: whole, to make other banks of, and mapped, to search.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from index.errors import BankError
from index.prototypes.aliases import Aliases
from index.prototypes.bank import PrototypeBank
from index.prototypes.mmap_bank import open_mapped
from index.prototypes.mmap_build import map_bank
from index.prototypes.protocol import Bank

MAPPED_FROM = 20_000
"""Prototypes from which a bank is searched in a file. In memory and mapped (512-d, one thread):

    prototypes   memory of a process   the 1,000 nearest of a query   assigning 64 items
        10,000         23 and 17 MB                   5 and  3 ms         35 and 18 ms
        25,000         56 and 13 MB                   9 and  2 ms         54 and  3 ms
        50,000        112 and 14 MB                  21 and  3 ms        114 and 10 ms
       100,000        222 and 17 MB                  49 and  2 ms        321 and  9 ms

The price: one vector in a hundred is assigned to a prototype that is only about the nearest, and
mapping takes a second for 25,000. Up to 20,000 the coarse index compares all prefixes anyway.
"""
MAPPED = "mapped"


class BankRegistry:
    """Banks by version. Writes are atomic: a reader sees a complete bank or none.

    Args:
        directory: the folder that contains `banks`; created by the first `put`.
    """

    def __init__(self, directory: Path) -> None:
        self.banks = directory / "banks"

    def put(self, bank: PrototypeBank, aliases: Aliases | None = None) -> None:
        """Store a bank and its aliases, unless it is already stored."""

        def write(draft: Path) -> None:
            bank.save(draft)
            if aliases:
                aliases.save(draft)
            if len(bank) >= MAPPED_FROM:
                map_bank(draft / MAPPED, bank)

        self._add(bank.version, write)

    def copy_from(self, other: "BankRegistry", version: str) -> None:
        """Store a bank of another registry, with its aliases.

        Raises:
            BankError: it is not in the other one.
        """
        source = other._place(version)
        self._add(version, lambda draft: shutil.copytree(source, draft, dirs_exist_ok=True))

    def get(self, version: str) -> Bank:
        """The bank of a version, to search and to assign by; a large one is mapped.

        Raises:
            BankError: it is missing or damaged.
        """
        mapped = self._place(version) / MAPPED
        if not mapped.is_dir():
            return self.load(version)
        bank = open_mapped(mapped)
        if bank.version != version:
            raise BankError(f"{mapped} holds bank {bank.version}: was the folder renamed?")
        return bank

    def load(self, version: str) -> PrototypeBank:
        """The whole bank of a version in memory, to make another one from.

        Raises:
            BankError: it is missing or damaged.
        """
        place = self._place(version)
        bank = PrototypeBank.load(place)
        if bank.version != version:
            raise BankError(f"{place} holds bank {bank.version}: was the folder renamed?")
        return bank

    def aliases(self, version: str) -> Aliases:
        """The aliases of a bank: from retired names of prototypes to those it has.

        Raises:
            BankError: the file is damaged.
        """
        return Aliases.load(self.banks / version)

    def current(self) -> str | None:
        """The version that `make_current` named last; None before."""
        try:
            return (self.banks / "current").read_text().strip() or None
        except (FileNotFoundError, NotADirectoryError):
            return None

    def make_current(self, version: str) -> None:
        """Name the version for processes that start before there is a collection."""
        draft = self.banks / f".current-{os.getpid()}"
        draft.write_text(f"{version}\n")
        draft.replace(self.banks / "current")

    def __contains__(self, version: str) -> bool:
        """Whether a bank is stored."""
        return (self.banks / version).is_dir()

    def _place(self, version: str) -> Path:
        if version not in self:
            raise BankError(
                f"bank {version} is not in {self.banks}: copy it from the machine that made the "
                "catalog's prototypes, or build the index anew (lookstream reindex)"
            )
        return self.banks / version

    def _add(self, version: str, write: Callable[[Path], object]) -> None:
        """Write a bank's folder with `write` and move it into place, unless it exists."""
        place = self.banks / version
        if place.exists():
            return
        self.banks.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=self.banks))
        try:
            write(draft)
            draft.replace(place)
        except OSError as error:
            if not place.exists():  # otherwise another process stored it first
                raise BankError(f"cannot write bank {version} to {place}: {error}") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
