"""The error tree of the search index.

    SearchIndexError
    ├── MilvusUnavailable    Milvus did not answer, or not in time: try again
    ├── RowRejected          this row can never be stored: dead-letter it
    ├── ModelMismatch        the collection holds vectors of another model (law 3)
    ├── GenerationChanged    the catalog has another prototype bank by now: load that, reopen
    ├── RepartitionCancelled the catalog changed hands while it was copied: begin again later
    └── BankError            a prototype bank is missing, damaged or cannot be built

Only :class:`MilvusUnavailable` is worth retrying with the same arguments.
"""


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


class RepartitionCancelled(SearchIndexError):
    """Another process may write to the catalog while it is copied; the copy was dropped."""


class BankError(SearchIndexError):
    """A prototype bank could not be built, saved, found or read."""
