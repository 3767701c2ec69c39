"""What every bank can do, whether it is in memory or mapped from a file."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from index.prototypes.bank import Name
from index.vectors import Matrix, Rows


class Bank(Protocol):
    """Prototypes that vectors are assigned to and catalogs are probed by.

    Attributes:
        version: names the content; the same in both forms of one bank.
        model_id: the model whose vectors the prototypes are (law 3).
        named: whether the prototypes have names of their own.
    """

    version: str
    model_id: str
    named: bool

    def __len__(self) -> int:
        """How many prototypes there are."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    @property
    def names(self) -> Sequence[Name]:
        """The name of each row; the row numbers where there are no others."""

    @property
    def rows(self) -> Mapping[Name, int]:
        """The row of each name."""

    def assign(self, vectors: Matrix) -> tuple[Rows, Matrix]:
        """Nearest prototype of each of (n, d) unit vectors, and its cosine: two arrays (n,)."""

    def search(self, vectors: Matrix, k: int) -> tuple[Rows, Matrix]:
        """The min(k, u) prototypes nearest to each of (n, d) unit vectors, nearest first.

        Returns:
            Their rows and cosines, two arrays (n, min(k, u)); the row is −1 where a bank that
            does not look everywhere found fewer.
        """
