"""The prototype bank: unit vectors that partition a catalog.

Pailitao-VL §4 keys its catalog by prototypes, the centroids of purified clusters: see
`index.prototypes.from_clusters`. Without clusters they are the centroids of spherical k-means over
the catalog's own vectors, and have no names. A bank is immutable: its version is a hash of its
content, which generations and results carry.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from index.errors import BankError
from index.vectors import Matrix, Rows, check_unit_rows

Name = str | int
"""Identifies a prototype from bank to bank, while its row may change."""

ITEMS_PER_PROTOTYPE = 100
"""For more than 10,000 items: probing four to eight prototypes then gives recall@10 of .97–.99."""
BLOCK = 4096
"""Vectors compared at once: limits the similarity matrix to 4096 × u floats."""


@dataclass(frozen=True)
class Origin:
    """How a bank was made, as its card (``bank.json``) records it.

    Attributes:
        method: how the prototypes were made.
        created_from: the folder, run or bank version they were made from; "" if unknown.
        sources: number of vectors from each source.
    """

    method: str = "spherical k-means"
    created_from: str = ""
    sources: Mapping[str, int] = field(default_factory=dict)


class PrototypeBank:
    """Prototypes of one model, ordered so that consecutive rows are near each other.

    Attributes:
        centroids: float32 of shape (u, d), rows ℓ2-normalised.
        version: short hash of the centroids, the model id, and names and counts where it has them.
        model_id: the model whose vectors it was built from (law 3).
        built_from: how many vectors it was built from.
        names: of the prototypes (u,), all different; the row numbers if none were given.
        counts: int64 (u,), the vectors behind each prototype; None if unknown.
        named: whether names were given.
        origin: how it was made.
    """

    def __init__(
        self,
        centroids: Matrix,
        version: str | None = None,
        model_id: str = "",
        built_from: int = 0,
        *,
        names: Sequence[Name] | None = None,
        counts: Rows | None = None,
        origin: Origin | None = None,
    ) -> None:
        self.centroids = np.ascontiguousarray(centroids, np.float32)
        check_unit_rows(self.centroids, "prototypes")
        self.model_id = model_id
        self.built_from = built_from
        self.origin = origin or Origin()
        self.named = names is not None
        self.names: Sequence[Name] = range(len(self)) if names is None else tuple(names)
        check_names(self.names, len(self))
        self.counts = None if counts is None else np.ascontiguousarray(counts, np.int64)
        if self.counts is not None and (len(self.counts) != len(self) or self.counts.min() < 0):
            raise BankError(f"counts must be {len(self)} numbers ≥ 0, one for each prototype")
        self.version = content_version(
            self.centroids, model_id, self.names if self.named else None, self.counts
        )
        if version not in (None, self.version):
            raise BankError(
                f"the prototypes are not those of bank {version} (their hash is {self.version}): "
                "the file is damaged; copy it again or build a new bank"
            )

    def __len__(self) -> int:
        return len(self.centroids)

    def __repr__(self) -> str:
        return f"PrototypeBank({self.version}, {len(self)} × {self.dim}, {self.model_id!r})"

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.centroids.shape[1])

    @cached_property
    def rows(self) -> Mapping[Name, int]:
        """The row of each name."""
        return {name: row for row, name in enumerate(self.names)}

    def similarities(self, vectors: Matrix) -> Matrix:
        """Cosines of unit vectors (n, d) to every prototype: (n, u)."""
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise BankError(
                f"vectors of shape {vectors.shape} do not fit the bank: it wants (n, {self.dim})"
            )
        cosines: Matrix = np.asarray(vectors, np.float32) @ self.centroids.T
        return cosines

    def assign(self, vectors: Matrix) -> tuple[Rows, Matrix]:
        """Nearest prototype of each of (n, d) unit vectors, and its cosine: two arrays (n,)."""
        prototypes = np.empty(len(vectors), np.int64)
        cosines = np.empty(len(vectors), np.float32)
        for start in range(0, len(vectors), BLOCK):
            block = self.similarities(vectors[start : start + BLOCK])
            nearest = block.argmax(axis=1)
            prototypes[start : start + BLOCK] = nearest
            cosines[start : start + BLOCK] = block[np.arange(len(block)), nearest]
        return prototypes, cosines

    def search(self, vectors: Matrix, k: int) -> tuple[Rows, Matrix]:
        """The min(k, u) prototypes nearest to each of (n, d) unit vectors, nearest first.

        Returns:
            Their rows and cosines, two arrays (n, min(k, u)).
        """
        k = min(k, len(self))
        rows, cosines = np.empty((len(vectors), k), np.int64), np.empty((len(vectors), k), "f4")
        for start in range(0, len(vectors), BLOCK):
            block = self.similarities(vectors[start : start + BLOCK])
            found = np.argpartition(-block, k - 1, axis=1)[:, :k]
            found.sort(axis=1)  # ties go to the lower row, as in `assign`
            near = np.take_along_axis(block, found, axis=1)
            order = np.argsort(-near, axis=1, kind="stable")
            rows[start : start + BLOCK] = np.take_along_axis(found, order, axis=1)
            cosines[start : start + BLOCK] = np.take_along_axis(near, order, axis=1)
        return rows, cosines

    def save(self, directory: Path) -> None:
        """Write ``bank.safetensors`` and ``bank.json`` (its card) into a folder, made if needed."""
        directory.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, npt.NDArray[Any]] = {"centroids": self.centroids}
        if self.named:  # as bytes of JSON: safetensors has no strings
            arrays["names"] = np.frombuffer(orjson.dumps(self.names), np.uint8)
        if self.counts is not None:
            arrays["counts"] = self.counts
        save_file(arrays, directory / "bank.safetensors")
        card = {
            "version": self.version,
            "model_id": self.model_id,
            "prototypes": len(self),
            "dim": self.dim,
            "built_from": self.built_from,
            "method": self.origin.method,
            "created_from": self.origin.created_from,
            "sources": dict(self.origin.sources),
        }
        (directory / "bank.json").write_bytes(orjson.dumps(card, option=orjson.OPT_INDENT_2))

    @classmethod
    def load(cls, directory: Path) -> "PrototypeBank":
        """Read a bank and verify its version.

        Raises:
            BankError: a file is missing, damaged, or not what its card says.
        """
        try:
            card: dict[str, Any] = orjson.loads((directory / "bank.json").read_bytes())
            arrays = load_file(directory / "bank.safetensors")
            centroids, counts = arrays["centroids"], arrays.get("counts")
            names = orjson.loads(arrays["names"].tobytes()) if "names" in arrays else None
            version, model_id = str(card["version"]), str(card["model_id"])
            built_from = int(card["built_from"])
            # Banks from before `from_clusters` have neither field.
            origin = Origin(card["method"], card.get("created_from", ""), card.get("sources", {}))
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise BankError(f"no readable prototype bank in {directory}: {error}") from error
        return cls(
            centroids, version, model_id, built_from, names=names, counts=counts, origin=origin
        )


def check_names(names: Sequence[Name], count: int) -> None:
    """Raise BankError unless names are `count` different strings and integers."""
    if len(names) != count:
        raise BankError(f"{len(names)} names for {count} prototypes: give one each")
    for name in names:
        if not isinstance(name, str | int) or isinstance(name, bool) or name == "":
            raise BankError(f"{name!r} cannot name a prototype: use text or whole numbers")
    if len(set(names)) < count:
        twice = Counter(names).most_common(1)[0][0]
        raise BankError(f"two prototypes are called {twice!r}: put their members under one label")


def content_version(
    centroids: Matrix,
    model_id: str,
    names: Sequence[Name] | None = None,
    counts: Rows | None = None,
) -> str:
    """The version of this content: twelve hexadecimal digits of its SHA-256."""
    digest = hashlib.sha256(f"{model_id}\n{centroids.shape}\n".encode())
    digest.update(centroids.astype("<f4", copy=False).data)
    if names is not None:
        digest.update(b"names\n" + orjson.dumps(list(names)))
    if counts is not None:
        digest.update(b"counts\n" + counts.astype("<i8").tobytes())
    return digest.hexdigest()[:12]
