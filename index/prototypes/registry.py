"""Where prototype banks are kept: `DIR/banks/<version>/`, and `DIR/banks/current` naming one.

A collection's stamp says which bank its rows are keyed by, and decides; `current` is for processes
that start before there is a collection. All processes of one catalog need the same folder.
"""

import os
import shutil
import tempfile
from pathlib import Path

from index.errors import BankError
from index.prototypes.aliases import Aliases
from index.prototypes.bank import PrototypeBank


class BankRegistry:
    """Banks by version. Writers are atomic: a reader sees a whole bank or none.

    Args:
        directory: the folder that holds `banks`; made on the first `put`.
    """

    def __init__(self, directory: Path) -> None:
        self.banks = directory / "banks"

    def put(self, bank: PrototypeBank, aliases: Aliases | None = None) -> None:
        """Keep a bank and what became of earlier prototypes; one that is here stays as it is."""
        place = self.banks / bank.version
        if place.exists():
            return
        self.banks.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=self.banks))
        try:
            bank.save(draft)
            if aliases:
                aliases.save(draft)
            draft.replace(place)
        except OSError as error:
            if not place.exists():  # else another process kept the same bank first
                raise BankError(f"cannot write bank {bank.version} to {place}: {error}") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def get(self, version: str) -> PrototypeBank:
        """The bank of a version.

        Raises:
            BankError: it is not here, or damaged.
        """
        place = self.banks / version
        if not place.is_dir():
            raise BankError(
                f"bank {version} is not in {self.banks}: copy it from the machine that keyed the "
                "catalog by it, or start from an empty collection"
            )
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
