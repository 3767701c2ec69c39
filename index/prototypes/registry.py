"""Where prototype banks are kept: `DIR/banks/<version>/`, and `DIR/banks/current` naming one.

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
    """Banks by version. Writers are atomic: a reader sees a whole bank or none.

    Args:
        directory: the folder that holds `banks`; made on the first `put`.
    """

    def __init__(self, directory: Path) -> None:
        self.banks = directory / "banks"

    def put(self, bank: PrototypeBank, aliases: Aliases | None = None) -> None:
        """Keep a bank and what became of earlier prototypes; one that is here stays as it is."""

        def write(draft: Path) -> None:
            bank.save(draft)
            if aliases:
                aliases.save(draft)
            if len(bank) >= MAPPED_FROM:
                map_bank(draft / MAPPED, bank)

        self._add(bank.version, write)

    def copy_from(self, other: "BankRegistry", version: str) -> None:
        """Keep a bank of another registry, with what became of earlier prototypes.

        Raises:
            BankError: it is not there.
        """
        source = other._place(version)
        self._add(version, lambda draft: shutil.copytree(source, draft, dirs_exist_ok=True))

    def get(self, version: str) -> Bank:
        """The bank of a version, to search and to assign by.

        Raises:
            BankError: it is not here, or damaged.
        """
        mapped = self._place(version) / MAPPED
        if not mapped.is_dir():
            return self.load(version)
        bank = open_mapped(mapped)
        if bank.version != version:
            raise BankError(f"{mapped} holds bank {bank.version}: was the folder renamed?")
        return bank

    def load(self, version: str) -> PrototypeBank:
        """The bank of a version, whole in memory, to make another of.

        Raises:
            BankError: it is not here, or damaged.
        """
        place = self._place(version)
        bank = PrototypeBank.load(place)
        if bank.version != version:
            raise BankError(f"{place} holds bank {bank.version}: was the folder renamed?")
        return bank

    def aliases(self, version: str) -> Aliases:
        """What became of prototypes that a bank has no more; none for a bank without any.

        Raises:
            BankError: the file is damaged.
        """
        return Aliases.load(self.banks / version)

    def current(self) -> str | None:
        """The version to start with, or None before the first `make_current`."""
        try:
            return (self.banks / "current").read_text().strip() or None
        except (FileNotFoundError, NotADirectoryError):
            return None

    def make_current(self, version: str) -> None:
        """Name the version to start with."""
        draft = self.banks / f".current-{os.getpid()}"
        draft.write_text(f"{version}\n")
        draft.replace(self.banks / "current")

    def __contains__(self, version: str) -> bool:
        """Whether a bank is here."""
        return (self.banks / version).is_dir()

    def _place(self, version: str) -> Path:
        if version not in self:
            raise BankError(
                f"bank {version} is not in {self.banks}: copy it from the machine that made the "
                "catalog's prototypes, or build the index anew (lookstream reindex)"
            )
        return self.banks / version

    def _add(self, version: str, write: Callable[[Path], object]) -> None:
        """Let a function write a bank's folder, which then appears whole; or does not, if there."""
        place = self.banks / version
        if place.exists():
            return
        self.banks.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=self.banks))
        try:
            write(draft)
            draft.replace(place)
        except OSError as error:
            if not place.exists():  # else another process kept the same bank first
                raise BankError(f"cannot write bank {version} to {place}: {error}") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
