"""The error tree of the search index.

    SearchIndexError
    ├── MilvusUnavailable    Milvus did not answer, or not in time: try again
    ├── RowRejected          this row can never be stored: dead-letter it
    ├── ModelMismatch        the collection holds vectors of another model (law 3)
    ├── GenerationChanged    the catalog has another prototype bank by now: load that, reopen
    ├── FilterError          a filter or a facet cannot be read
    ├── ChangeUnderWay       another process changes the generations: begin again later
    ├── RepartitionCancelled the catalog changed hands while it was copied: begin again later
    └── BankError            a prototype bank is missing, damaged or cannot be built

Only :class:`MilvusUnavailable` is worth retrying with the same arguments.
"""

CONTEXT = 40
"""Characters of a filter that an error shows on each side."""


class SearchIndexError(Exception):
    """Base of every error of this room."""


class MilvusUnavailable(SearchIndexError):
    """Milvus cannot be reached or refuses for now; the same call may work later."""


class RowRejected(SearchIndexError):
    """A row or a request that can never be accepted: bad vector, too long, too large."""


class ModelMismatch(SearchIndexError):
    """The collection or a row was written with another model than the one in use."""


class GenerationChanged(SearchIndexError):
    """The catalog was repartitioned, or replaced, since it was opened.

    Attributes:
        bank_version: the version of the bank that its items are assigned by now.
    """

    def __init__(self, message: str, bank_version: str) -> None:
        super().__init__(message)
        self.bank_version = bank_version


class FilterError(SearchIndexError):
    """A filter or a facet that cannot be read.

    Attributes:
        position: the character that it is about, from 0; None where it is about all of it.
        field: the product's field that the comparison is on; None outside of one.
    """

    def __init__(
        self,
        what: str,
        *,
        text: str = "",
        position: int | None = None,
        field: str | None = None,
    ) -> None:
        self.position = position
        self.field = field
        on = f", on {field}" if field and f"`{field}`" not in what else ""
        at = "" if position is None else f"character {position + 1}{on}: "
        super().__init__(at + what + ("" if position is None else _pointed_at(text, position)))


def _pointed_at(text: str, position: int) -> str:
    """Two lines: the text around a position, and a caret below the character."""
    start = max(0, position - CONTEXT)
    line = "".join(one if one.isprintable() else " " for one in text[start : position + CONTEXT])
    return f"\n  {line}\n  {' ' * (position - start)}^"


class RepartitionCancelled(SearchIndexError):
    """Another process may write to the catalog while it is copied; the copy was dropped."""


class ChangeUnderWay(SearchIndexError):
    """Another process builds prototypes of this catalog, or switches its generations."""


class BankError(SearchIndexError):
    """A prototype bank could not be built, saved, found or read."""
