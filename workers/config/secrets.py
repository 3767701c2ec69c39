"""Secrets: from the environment, or from a file that a secret store mounts.

Each secret NAME has a setting `NAME_file` beside it. The file is read when the secret is needed; a
line break at its end does not belong to the secret.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from workers.errors import SettingsError

SECRETS = {
    "kafka": ("password", "key_password", "schema_registry_password"),
    "milvus": ("token",),
    "models": ("reranker_key",),
    "web": ("link_secret",),
}
"""The secrets of each section of the settings."""


def secret(section: BaseModel, name: str) -> str | None:
    """The secret `name` of a section, from the environment or its file; None when it is not set.

    Raises:
        SettingsError: its file cannot be read, or is empty.
    """
    value: SecretStr | None = getattr(section, name)
    path: Path | None = getattr(section, f"{name}_file")
    if path is None:
        return value.get_secret_value() if value else None
    try:
        text = path.read_text().removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SettingsError(f"{name}_file {path} cannot be read: {why}") from None
    if not text:
        raise SettingsError(f"{name}_file {path} is empty")
    return text


def check_one_source(section: Any, names: tuple[str, ...]) -> None:
    """Raise ValueError where a secret is given both itself and as a file."""
    for name in names:
        if getattr(section, name) and getattr(section, f"{name}_file"):
            raise ValueError(f"give {name} or {name}_file, not both")
