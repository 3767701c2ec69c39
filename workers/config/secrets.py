"""Secrets: from the environment, or from a file that somebody else keeps safe.

Each secret NAME has a setting `NAME_file` beside it, for what a secret store mounts as a file. The
file is read when the secret is needed, and its last line break is no part of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from workers.errors import SettingsError

SECRETS = {"kafka": ("password", "key_password"), "milvus": ("token",)}
"""The secrets of each section of the settings."""


def secret(section: BaseModel, name: str) -> str | None:
    """The secret `name` of a section, wherever it is kept; None when it is not set.

    Raises:
        SettingsError: its file cannot be read, or is empty.
    """
    value: SecretStr | None = getattr(section, name)
    path: Path | None = getattr(section, f"{name}_file")
    if path is None:
        return value.get_secret_value() if value else None
    try:
        kept = path.read_text().removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SettingsError(f"{name}_file {path} cannot be read: {why}") from None
    if not kept:
        raise SettingsError(f"{name}_file {path} is empty")
    return kept


def one_place(section: Any, names: tuple[str, ...]) -> None:
    """Raise ValueError where a secret is given both itself and as a file."""
    for name in names:
        if getattr(section, name) and getattr(section, f"{name}_file"):
            raise ValueError(f"give {name} or {name}_file, not both")
