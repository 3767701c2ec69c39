"""API keys: long random words, of which only the SHA-256 is kept.

A line of `web.keys` or of the file `web.keys_file` is

    NAME SCOPE[,SCOPE] SHA256

with the scopes "search" (queries, clicks) and "write" (products). Keys have 256 bits, so that a
plain hash suffices: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from workers.errors import SettingsError

SCOPES = ("search", "write")
PREFIX = "ls_"
_LINE = re.compile(r"(?P<name>[A-Za-z0-9._-]{1,64})\s+(?P<scopes>[a-z,]+)\s+(?P<hash>[0-9a-f]{64})")


@dataclass(frozen=True)
class ApiKey:
    """A key that is accepted: its name, what it allows, and its hash (hex)."""

    name: str
    scopes: frozenset[str]
    sha256: str

    def __str__(self) -> str:
        return f"{self.name} {','.join(sorted(self.scopes))} {self.sha256}"


class ApiKeys:
    """The keys that are accepted; without any, every request is."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._by_hash = {key.sha256: key for key in keys}

    def __bool__(self) -> bool:
        return bool(self._by_hash)

    def find(self, word: str) -> ApiKey | None:
        """The key that this is; None for any other word.

        The look-up is by hash: how long it takes tells nothing about the keys.
        """
        return self._by_hash.get(_hash(word))


def make_key(name: str, scopes: Sequence[str]) -> tuple[str, ApiKey]:
    """A new key: the word to give away, and what is kept of it.

    Raises:
        SettingsError: the name or a scope is none.
    """
    word = PREFIX + secrets.token_urlsafe(32)
    return word, parse_key(f"{name} {','.join(scopes)} {_hash(word)}", "the new key")


def parse_key(line: str, where: str) -> ApiKey:
    """Read a line; raises `SettingsError`, which says where."""
    found = _LINE.fullmatch(line.strip())
    if not found:
        raise SettingsError(
            f"{where}: a key is NAME SCOPE[,SCOPE] SHA256; `lookstream keys NAME` makes one"
        )
    scopes = frozenset(found["scopes"].split(","))
    if not scopes <= set(SCOPES):
        unknown = ", ".join(sorted(scopes - set(SCOPES)))
        raise SettingsError(f"{where}: {unknown or 'nothing'} is no scope: use {', '.join(SCOPES)}")
    return ApiKey(found["name"], scopes, found["hash"])


def read_keys(lines: Sequence[str], file: Path | None) -> ApiKeys:
    """The keys of the settings; empty lines of the file, and those that begin with #, are not read.

    Raises:
        SettingsError: a line is no key, or the file cannot be read.
    """
    keys = [parse_key(line, "web.keys") for line in lines]
    if file is not None:
        try:
            text = file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise SettingsError(f"web.keys_file {file} cannot be read: {why}") from None
        rows = enumerate(text.splitlines(), start=1)
        keys += [
            parse_key(line, f"web.keys_file {file}, line {number}")
            for number, line in rows
            if line.strip() and not line.lstrip().startswith("#")
        ]
    return ApiKeys(keys)


def _hash(word: str) -> str:
    return hashlib.sha256(word.encode("utf-8", "surrogateescape")).hexdigest()
