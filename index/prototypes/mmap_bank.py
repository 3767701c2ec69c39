"""The memory-mapped form of a large bank: prototypes in a file, searched through a small index.

1,000,000 × 512 floats are 2 GB, and comparing a vector with all of them takes 16 ms of a core. Here
the prototypes are in a file as 16-bit fixed-point fractions (as precise as half precision, and much
faster to convert to floats) that is mapped into memory, so that only the pages in use take memory.
A FAISS index of their Matryoshka prefixes (the first 128 values, normalised) finds candidates,
which are compared in full. `index.prototypes.mmap_build` makes this form.

A folder of `bank.json` (its card), `vectors.npy`, `names.json` where there are names, and
`coarse.faiss`. Rows and version are those of the bank it was made from.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import orjson

from index.errors import BankError
from index.prototypes.bank import Name, check_names
from index.vectors import Matrix, Rows

Fractions = npt.NDArray[np.int16]

PREFIX = 128
CELL_SIZE = 256
"""Prototypes per cell of the coarse index, about."""
PROBED = 8
"""Cells searched, at least."""
CANDIDATES = 16
"""Prototypes compared in full, at least."""
WIDE = 1024
"""So many are compared to find several nearest ones: of ten that takes recall from .50 to .99, of a
hundred from .76 to 1 (50,000 prototypes). Beyond that twice as many as are asked for."""
BLOCK = 32_768
"""Rows read or written at once: 64 MB as float32 at 512-d."""
QUERIES = 512
"""Vectors searched at once by one thread."""
SCALE = 32_767
"""The integer for 1.0: the error of a value is at most 1.5e-5, that of a cosine about 1e-5."""
FORMAT = 1


class MappedBank:
    """A bank in a file, opened with `open_mapped`; searches like a `PrototypeBank`, almost exactly.

    Attributes:
        vectors: int16 (u, d), values times `SCALE`, mapped from the file.
        version: of the bank in memory that it was made from; its own hash if there was none.
        content_hash: of the vectors, names and model id.
        model_id: the model whose vectors the prototypes are.
        named: whether the prototypes have names of their own.
        probed: cells searched, at least; more raise recall and time.
        candidates: prototypes compared in full, at least; likewise.
        threads: that search at the same time.
    """

    def __init__(
        self,
        directory: Path,
        card: dict[str, Any],
        vectors: Fractions,
        index: Any,
        threads: int = 1,
    ) -> None:
        self.directory = directory
        self.vectors = vectors
        self.version = str(card["version"])
        self.content_hash = str(card["content_hash"])
        self.model_id = str(card["model_id"])
        self.named = (directory / "names.json").exists()
        self.probed = PROBED
        self.candidates = CANDIDATES
        self.threads = threads
        self._index = index

    def __len__(self) -> int:
        return len(self.vectors)

    def __repr__(self) -> str:
        return f"MappedBank({self.version}, {len(self)} × {self.dim}, {self.model_id!r})"

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.vectors.shape[1])

    @cached_property
    def names(self) -> Sequence[Name]:
        """The names of the rows, read at the first access."""
        if not self.named:
            return range(len(self))
        names: list[Name] = orjson.loads((self.directory / "names.json").read_bytes())
        check_names(names, len(self))
        return names

    @cached_property
    def rows(self) -> dict[Name, int]:
        """The row of each name."""
        return {name: row for row, name in enumerate(self.names)}

    def search(self, vectors: Matrix, k: int) -> tuple[Rows, Matrix]:
        """The prototypes nearest to each of (n, d) unit vectors, nearest first.

        Returns:
            Their rows and cosines (within about 1e-5), two arrays (n, min(k, u)); −1 and −2 where
            the searched cells hold fewer.

        Raises:
            BankError: vectors of another length.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise BankError(
                f"vectors of shape {vectors.shape} do not fit the bank: it wants (n, {self.dim})"
            )
        k = min(k, len(self))
        wanted = max(self.candidates, 2 * k, WIDE if k > 1 else 0)
        blocks = [vectors[start : start + QUERIES] for start in range(0, len(vectors), QUERIES)]
        if not blocks:
            return np.empty((0, k), np.int64), np.empty((0, k), np.float32)
        # One thread for each block, in FAISS too: the full comparison is not FAISS' work.
        with ThreadPoolExecutor(self.threads, "assign", faiss.omp_set_num_threads, (1,)) as pool:
            found = list(pool.map(lambda block: self._search(block, k, wanted), blocks))
        return np.concatenate([one for one, _ in found]), np.concatenate([one for _, one in found])

    def assign(self, vectors: Matrix) -> tuple[Rows, Matrix]:
        """Nearest prototype of each of (n, d) unit vectors, and its cosine: two arrays (n,)."""
        rows, cosines = self.search(vectors, 1)
        return rows[:, 0], cosines[:, 0]

    def verify(self) -> None:
        """Read everything and verify `content_hash`: one or two seconds per million.

        Raises:
            BankError: the files are damaged.
        """
        found = hash_of(self.vectors, self.names, self.model_id)
        if found != self.content_hash:
            raise BankError(
                f"{self.directory} is damaged (its hash is {found}, not {self.content_hash}): "
                "copy it again or build it again"
            )

    def _search(self, vectors: Matrix, k: int, candidates: int) -> tuple[Rows, Matrix]:
        """`search` for one block."""
        vectors = np.ascontiguousarray(vectors, np.float32)
        prefixes = prefix_of(vectors, self._index.d)
        options = None
        if isinstance(self._index, faiss.IndexIVF):
            # Cells are of unequal size, and many of their prototypes are far away.
            cells = max(self.probed, 4 * candidates // CELL_SIZE)
            options = faiss.SearchParametersIVF(nprobe=cells)  # type: ignore[call-arg]
        _, found = self._index.search(prefixes, min(candidates, len(self)), params=options)
        cosines = self._compare(vectors, found)
        order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(found, order, axis=1), np.take_along_axis(cosines, order, axis=1)

    def _compare(self, vectors: Matrix, found: Rows) -> Matrix:
        """Cosines of (n, d) vectors to rows (n, c) each; −2 for rows < 0."""
        candidates = self.vectors[found.ravel()].astype(np.float32)
        candidates = candidates.reshape(*found.shape, self.dim)
        cosines: Matrix = np.einsum("ncd,nd->nc", candidates, vectors) / np.float32(SCALE)
        cosines[found < 0] = -2
        return cosines


def open_mapped(directory: Path, threads: int = 1) -> MappedBank:
    """Open a bank that `build_mapped` wrote. Reads only the coarse index, 40 MB per million.

    Raises:
        BankError: a file is missing or damaged, or does not match the card. Damage within
            `vectors.npy` is found by `MappedBank.verify` only.
    """
    try:
        card: dict[str, Any] = orjson.loads((directory / "bank.json").read_bytes())
        if card["format"] != FORMAT:
            raise BankError(
                f"{directory} has format {card['format']}, this version reads {FORMAT}: "
                "build it again"
            )
        vectors = np.load(directory / "vectors.npy", mmap_mode="r", allow_pickle=False)
        index = faiss.read_index(str(directory / "coarse.faiss"))
        expected = (card["prototypes"], card["dim"], card["prefix"])
        if (*vectors.shape, index.d) != expected or index.ntotal != len(vectors):
            raise ValueError(f"{vectors.shape} vectors and {index.ntotal} in the index")
        return MappedBank(directory, card, vectors, index, threads)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise BankError(f"no readable mapped bank in {directory}: {error}") from error


def prefix_of(vectors: Matrix, length: int) -> Matrix:
    """The first values of each row, normalised (a prefix of zeros stays zero)."""
    prefixes = vectors[:, :length]
    norms = np.linalg.norm(prefixes, axis=1, keepdims=True)
    return np.ascontiguousarray(prefixes / np.maximum(norms, 1e-12), np.float32)


def hash_of(vectors: Fractions, names: Sequence[Name] | None, model_id: str) -> str:
    """Twelve hexadecimal digits of the SHA-256 of this content."""
    digest = hashlib.sha256(f"mapped\n{model_id}\n{vectors.shape}\n".encode())
    for start in range(0, len(vectors), BLOCK):
        digest.update(np.ascontiguousarray(vectors[start : start + BLOCK], "<i2").data)
    if names is not None and not isinstance(names, range):
        digest.update(orjson.dumps(list(names)))
    return digest.hexdigest()[:12]
