"""The mirror of a Milvus Lite collection: its rows in SQLite, for the processes that search.

A filter on Lite walks every row in Python, reading a hundred rows by key takes 10 ms, and a reader
waits while a writer's rows are flushed. So whoever writes to a collection also writes its rows into
a file beside it, and readers follow that file: every change has a number, and what is newer than
the last number seen is read in well under a millisecond. All of them are on one machine, as Lite
is.

The two writes are one step: under a lock on a file the products are noted as intended, Milvus is
written, then the mirror, which takes the notes away. The kernel drops the lock of a process that
dies; so whoever gets the lock and finds a note knows that the write was cut off, and reads that
product from Milvus again. A mirror that is missing or damaged, does not hold as many items as
Milvus, or was built before the machine was started, is built anew.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import orjson

from index.errors import MilvusUnavailable
from index.item import Item
from index.milvus.mirror_files import DATABASE, FILES, LOCK, delete_files
from index.milvus.mirror_rows import Keyed, TableColumns, columns_of, item_of, product_of
from index.search.table import ProductRows

FORMAT = 3
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
PAGE = 1000
"""Products read at a time; whoever takes them in needs 40 ms for so many."""
BUSY_S = 60.0
"""How long SQLite waits for another process: writes are short."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS product (product_id TEXT PRIMARY KEY, change INTEGER) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_change ON product (change);
CREATE TABLE IF NOT EXISTS item (
    item_id TEXT PRIMARY KEY, product_id TEXT, row_id TEXT, prototype INTEGER, fields BLOB,
    vector BLOB, rest BLOB);
CREATE INDEX IF NOT EXISTS by_product ON item (product_id);
CREATE INDEX IF NOT EXISTS by_row ON item (row_id);
CREATE TABLE IF NOT EXISTS built (boot TEXT);
CREATE TABLE IF NOT EXISTS intended (product_id TEXT PRIMARY KEY) WITHOUT ROWID;
"""

DROPPED = ("item", "product", "built", "intended")
"""Tables that are made anew in another format; the rows are in Milvus."""
READ_AT_ONCE = 500
"""Keys in one statement."""


class Mirror:
    """The file of one collection, opened by one process; the caller's lock makes it thread-safe.

    Args:
        folder: where the mirrors are; made where it is missing.
        generation: the collection.
        read: reads products from Milvus; of two copies of an item the newer comes last.
    """

    def __init__(
        self, folder: Path, generation: str, read: Callable[[Sequence[str]], list[Keyed]]
    ) -> None:
        self.path = folder / f"{generation}{DATABASE}"
        self._read = read
        self._db: sqlite3.Connection | None = None
        self._inode = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._lock_path = folder / f"{generation}{LOCK}"

    def is_there(self) -> bool:
        """Whether the file that was opened is still the one that others find."""
        try:
            return self._db is None or self.path.stat().st_ino == self._inode
        except OSError:
            return False

    # For writers.

    @contextmanager
    def writing(self, product_ids: Iterable[str]) -> Iterator[None]:
        """Around a write to Milvus, and to the mirror after it, of these products."""
        with self._locked():
            self._heal()
            with self._opened() as db:
                db.executemany("INSERT OR IGNORE INTO intended VALUES (?)", _each(product_ids))
            yield

    def put(self, rows: Sequence[Keyed]) -> None:
        """These rows were written to Milvus; a tombstone takes its item away."""
        with self._opened() as db:
            self._put(db, rows)
            self._changed(db, {item.product_id for _, item in rows})

    def remove(self, row_ids: Sequence[str]) -> None:
        """These rows were deleted from Milvus."""
        with self._opened() as db:
            gone = set[str]()
            for row_id in row_ids:
                found = db.execute(
                    "DELETE FROM item WHERE row_id = ? RETURNING product_id", [row_id]
                )
                gone.update(product_id for (product_id,) in found)
            self._changed(db, gone)

    def build(
        self, count: Callable[[], int], scan: Callable[[], Iterable[Sequence[Keyed]]]
    ) -> None:
        """Make sure that the mirror holds what Milvus holds; build it anew where it does not.

        Args:
            count: how many items Milvus holds.
            scan: every row of Milvus, page by page.
        """
        try:
            self._build(count, scan)
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:
                raise
            self.close()  # it is damaged, or no database
            with self._locked():
                delete_files(self.path.parent, self.path.stem, FILES)
            self._build(count, scan)

    def _build(
        self, count: Callable[[], int], scan: Callable[[], Iterable[Sequence[Keyed]]]
    ) -> None:
        with self._locked():
            self._renew()
            self._heal()
            if self._built_in_this_boot() and self._count() == count():
                return
            with self._opened() as db:
                last = self.last_change()
                db.execute("DELETE FROM item")
                db.execute("UPDATE product SET change = ?", [last + 1])
                twice = set[str]()
                for page in scan():
                    twice |= self._with_copies(db, page)
                    self._put(db, page)
                    self._changed(db, {item.product_id for _, item in page})
                for products in _parts(sorted(twice)):
                    self._put(db, self._read(products))
                db.execute("DELETE FROM built")
                db.execute("INSERT INTO built VALUES (?)", [_boot()])
                db.execute(f"PRAGMA user_version = {FORMAT}")

    # For readers.

    def last_change(self) -> int:
        """The number of the newest change; 0 before there is one."""
        [(number,)] = self._connected().execute("SELECT MAX(change) FROM product")
        return number or 0

    def changes(self, since: int) -> tuple[list[ProductRows], int]:
        """Products that changed after a number, as they are now, and the number to go on from.

        It is `since` again when there are no more; some thousand come at a time.
        """
        with self._errors():
            return self._changes(since)

    def _changes(self, since: int) -> tuple[list[ProductRows], int]:
        if self._intended():
            with suppress(BlockingIOError), self._locked(wait=False):  # else its writer lives
                self._heal()
        db = self._connected()
        db.execute("BEGIN")
        try:
            until = self._until(since)
            if until == since:
                return [], since
            items: dict[str, list[TableColumns]] = defaultdict(list)
            for product_id, *item in db.execute(
                "SELECT product_id, row_id, prototype, fields, vector "
                "FROM item NATURAL JOIN product WHERE change > ? AND change <= ? ORDER BY item_id",
                [since, until],
            ):
                items[product_id].append(tuple(item))
            changed = db.execute(
                "SELECT product_id FROM product WHERE change > ? AND change <= ?", [since, until]
            )
            return [product_of(one, items.get(one, [])) for (one,) in changed], until
        finally:
            db.execute("COMMIT")

    def fetch(self, row_ids: Sequence[str], *, vectors: bool) -> dict[str, Item]:
        """The items of some rows by row id; those that are gone are left out."""
        found: dict[str, Item] = {}
        with self._errors():
            for some in _parts(row_ids):
                for row_id, *item in self._connected().execute(
                    "SELECT row_id, item_id, product_id, prototype, fields, rest, "
                    "CASE WHEN ? THEN vector END FROM item "
                    "WHERE row_id IN (SELECT value FROM json_each(?))",
                    [vectors, orjson.dumps(some).decode()],
                ):
                    found[row_id] = item_of(*item)
        return found

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _put(self, db: sqlite3.Connection, rows: Sequence[Keyed]) -> None:
        """Put rows in; of several with one item the last counts."""
        last = {item.item_id: (row_id, item) for row_id, item in rows}
        db.executemany("DELETE FROM item WHERE item_id = ?", _each(last))
        db.executemany(
            "INSERT INTO item VALUES (?, ?, ?, ?, ?, ?, ?)",
            [columns_of(row_id, item) for row_id, item in last.values() if not item.is_tombstone],
        )

    def _with_copies(self, db: sqlite3.Connection, rows: Sequence[Keyed]) -> set[str]:
        """Products of which an item has another row, among these or put in before.

        A writer puts the new row in before it takes the old one away, and may be between the two,
        or dead. In a scan they come in any order.
        """
        number = Counter(item.item_id for _, item in rows)
        there = {
            item_id
            for some in _parts([*number])
            for (item_id,) in db.execute(
                "SELECT item_id FROM item WHERE item_id IN (SELECT value FROM json_each(?))",
                [orjson.dumps(some).decode()],
            )
        }
        return {
            item.product_id for _, item in rows if number[item.item_id] > 1 or item.item_id in there
        }

    def _changed(self, db: sqlite3.Connection, product_ids: Iterable[str]) -> None:
        """Give products the next number; what was intended for them is done."""
        number = self.last_change() + 1
        ids = list(product_ids)
        db.executemany("REPLACE INTO product VALUES (?, ?)", [(one, number) for one in ids])
        db.executemany("DELETE FROM intended WHERE product_id = ?", _each(ids))

    def _heal(self) -> None:
        """Read from Milvus what a writer that died may have written; call it under the lock."""
        intended = self._intended()
        if not intended:
            return
        rows = self._read(intended)
        with self._opened() as db:
            db.executemany("DELETE FROM item WHERE product_id = ?", _each(intended))
            self._put(db, rows)
            self._changed(db, intended)

    def _renew(self) -> None:
        """Make the tables of a file in another format anew, empty; call it under the lock."""
        db = self._connected()
        [(number,)] = db.execute("PRAGMA user_version")
        if number not in (0, FORMAT):
            db.executescript("".join(f"DROP TABLE IF EXISTS {name};" for name in DROPPED))
            db.executescript(f"PRAGMA user_version = 0; {SCHEMA}")

    def _intended(self) -> list[str]:
        return [one for (one,) in self._connected().execute("SELECT product_id FROM intended")]

    def _until(self, since: int) -> int:
        """The last number of the next page of changes."""
        found = self._connected().execute(
            "SELECT change FROM product WHERE change > ? ORDER BY change LIMIT 1 OFFSET ?",
            [since, PAGE],
        )
        return next((number for (number,) in found), self.last_change())

    def _count(self) -> int:
        [(number,)] = self._connected().execute("SELECT COUNT(*) FROM item")
        return int(number)

    def _built_in_this_boot(self) -> bool:
        db = self._connected()
        [(number,)] = db.execute("PRAGMA user_version")
        return number == FORMAT and [*db.execute("SELECT boot FROM built")] == [(_boot(),)]

    def _connected(self) -> sqlite3.Connection:
        if self._db is None:
            # Threads take turns: the collection has a lock.
            self._db = sqlite3.connect(
                self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode = WAL")
            # After a loss of power the boot is another one, and the mirror is built anew; where the
            # boot cannot be told, every write must outlive it. That takes half as long as Milvus.
            self._db.execute(f"PRAGMA synchronous = {'NORMAL' if _boot() else 'FULL'}")
            self._db.executescript(SCHEMA)
            self._inode = 0
            with suppress(FileNotFoundError):
                self._inode = self.path.stat().st_ino
        return self._db

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """A transaction."""
        with self._errors():
            db = self._connected()
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """What SQLite cannot do now may work later."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise MilvusUnavailable(
                f"the mirror {self.path} cannot be used ({error}): is there room on the disk, and "
                "may this process write there?"
            ) from error

    @contextmanager
    def _locked(self, *, wait: bool = True) -> Iterator[None]:
        """The lock between processes; raises BlockingIOError without it where it may not wait."""
        with self._lock_path.open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            yield


def _boot() -> str:
    """Names the time since the machine was started; "" where that has no name (not Linux)."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _parts(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """The keys, as many at a time as one statement takes."""
    return (keys[start : start + READ_AT_ONCE] for start in range(0, len(keys), READ_AT_ONCE))


def _each(values: Iterable[str]) -> list[tuple[str]]:
    return [(value,) for value in values]
