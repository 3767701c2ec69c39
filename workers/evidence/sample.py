"""A sample of the catalog's pictures, kept while they are ingested: what its evidence is made of.

The products with the smallest hashes of their ids (bottom-k sampling, Cohen and Kaplan 2007), each
with its first pictures: uniform over products, and the same whatever the order or repetition of
events. Some more are kept than are given out, so that deletes do not make it smaller at once.
"""

from __future__ import annotations

import hashlib
import io
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
from PIL import Image

from models.images.letterbox import MIN_SIDE, Picture
from models.images.views import SIDE
from workers.config.settings import Settings
from workers.errors import EvidenceError

log = structlog.get_logger()

CAPACITY, RESERVE = 1000, 250
"""Pictures given out, and kept beyond them: 15 KB each."""
PICTURES_EACH = 3
"""Pictures kept of a product, so that a few products do not fill the sample."""
QUALITY = 92
TIMEOUT_S = 1.0
"""The longest wait for another worker's write; what is not written then is left out."""
NEVER_FULL = 2**63 - 1
ADAPTATION = "adaptation.safetensors"
"""The file of `workers.evidence.adapted`."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS pictures (
    rank INTEGER NOT NULL, product_id TEXT NOT NULL, digest TEXT NOT NULL, jpeg BLOB NOT NULL,
    PRIMARY KEY (product_id, digest));
CREATE INDEX IF NOT EXISTS by_rank ON pictures (rank, digest);
CREATE TABLE IF NOT EXISTS state (model_id TEXT NOT NULL, ceiling INTEGER NOT NULL);
"""
# `ceiling` is the lowest rank that was ever dropped for want of room: none from there on is kept.


@dataclass(frozen=True)
class SampledPicture:
    """A picture of the sample.

    Attributes:
        product_id: what it shows.
        digest: of its bytes by the model, as in the first part of an item's digest.
        jpeg: the picture, its longer side at most 260 px.
    """

    product_id: str
    digest: str
    jpeg: bytes

    @classmethod
    def of(cls, product_id: str, digest: str, pixels: Picture) -> SampledPicture | None:
        """The picture as it is kept; None if it is too narrow for that."""
        jpeg = _encode(pixels)
        return None if jpeg is None else cls(product_id, digest, jpeg)

    def pixels(self) -> Picture:
        """The picture, RGB uint8 (h, w, 3)."""
        return _decode(self.jpeg)


def evidence_dir(settings: Settings) -> Path:
    """Where a catalog's evidence and what was made of it are; it moves with its generation."""
    return settings.data_dir / "evidence"


def exchange_evidence(
    candidate: Settings, live: Settings, previous: Settings | None, *, same_model: bool
) -> None:
    """What a catalog has of its own goes with it when it becomes the live one; may be repeated.

    Of one model the live evidence stays where there is some: the ingest worker goes on with it.

    Args:
        candidate: what has become the live catalog.
        live: the settings of the live catalog.
        previous: what was live, if anything was; takes its evidence with it.
        same_model: whether one model made both.
    """
    source, target = evidence_dir(candidate), evidence_dir(live)
    if same_model and target.is_dir():
        return
    if previous is not None and not evidence_dir(previous).exists():  # else it was done before
        if target.is_dir():
            target.replace(evidence_dir(previous))
        else:
            evidence_dir(previous).mkdir()
    if source.is_dir() and not target.exists():
        source.replace(target)


def open_sample(settings: Settings, model_id: str) -> PictureSample:
    """The sample of the catalog that these settings name; there may be nothing in it yet."""
    return PictureSample(evidence_dir(settings) / "pictures.sqlite", model_id)


class PictureSample:
    """The sample of one catalog for one model, in a file, or in memory without one. Thread-safe.

    Ingest goes on whatever becomes of it: errors of `update` are logged once.
    """

    def __init__(self, path: Path | None, model_id: str, capacity: int = CAPACITY) -> None:
        self._path = path
        self._model_id = model_id
        self._capacity = capacity
        self._most = capacity + RESERVE * capacity // CAPACITY
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._ceiling = NEVER_FULL
        self._failed = False

    def thumbnails(
        self, product_id: str, pictures: Iterable[tuple[str, Picture | None]]
    ) -> dict[str, bytes]:
        """What `update` needs of a product's pictures (digest, pixels), the first ones first.

        Empty for a product that is not of the sample. Pixels that are None were had before.
        """
        if _rank(product_id) >= self._ceiling:
            return {}
        made = {
            digest: _encode(pixels)
            for digest, pixels in [*pictures][:PICTURES_EACH]
            if pixels is not None
        }
        return {digest: jpeg for digest, jpeg in made.items() if jpeg is not None}

    def update(
        self,
        shown: Mapping[str, Collection[str]],
        thumbnails: Mapping[str, Mapping[str, bytes]],
    ) -> None:
        """Products have changed.

        Args:
            shown: digests of the pictures that each of them has now; none if it is deleted.
            thumbnails: of those of them that were decoded.
        """
        try:
            with self._transaction("IMMEDIATE") as rows:
                self._ceiling = self._begin(rows)
                for product_id, digests in shown.items():
                    self._replace(rows, product_id, digests, thumbnails.get(product_id, {}))
                self._drop_beyond(rows)
        except (sqlite3.Error, OSError) as error:
            if not self._failed:
                log.warning(
                    "the sample of the catalog's pictures is not kept up to date",
                    file=str(self._path),
                    why=str(error),
                )
            self._failed = True

    def pictures(self) -> list[SampledPicture]:
        """The sample, at most its capacity, in an order of its own.

        Raises:
            EvidenceError: the file cannot be read.
        """
        try:
            with self._transaction() as rows:
                if not self._is_ours(rows):
                    return []
                found = rows.execute(
                    "SELECT product_id, digest, jpeg FROM pictures ORDER BY rank, digest LIMIT ?",
                    (self._capacity,),
                )
                return [SampledPicture(*row) for row in found]
        except (sqlite3.Error, OSError) as error:
            raise EvidenceError(
                f"the sample of the catalog's pictures in {self._path} cannot be read ({error}): "
                "delete it, and it fills again with the pictures that are ingested"
            ) from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def _transaction(self, kind: str = "DEFERRED") -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._connection is None:
                if self._path is not None:
                    self._path.parent.mkdir(parents=True, exist_ok=True)
                connection = sqlite3.connect(
                    self._path or ":memory:",
                    timeout=TIMEOUT_S,
                    isolation_level=None,
                    check_same_thread=False,
                )
                try:
                    connection.executescript(SCHEMA)
                    # After a power cut the sample may be lost: nothing else is.
                    connection.execute("PRAGMA synchronous = OFF")
                except sqlite3.Error:
                    connection.close()
                    raise
                self._connection = connection
            with self._connection as rows:
                rows.execute(f"BEGIN {kind}")
                yield rows

    def _is_ours(self, rows: sqlite3.Connection) -> bool:
        found = rows.execute("SELECT model_id FROM state").fetchone()
        return found is not None and found[0] == self._model_id

    def _begin(self, rows: sqlite3.Connection) -> int:
        """The ceiling; a sample for another model is emptied."""
        if not self._is_ours(rows):
            rows.execute("DELETE FROM pictures")
            rows.execute("DELETE FROM state")
            rows.execute("INSERT INTO state VALUES (?, ?)", (self._model_id, NEVER_FULL))
        ceiling: int = rows.execute("SELECT ceiling FROM state").fetchone()[0]
        return ceiling

    def _replace(
        self,
        rows: sqlite3.Connection,
        product_id: str,
        shown: Collection[str],
        thumbnails: Mapping[str, bytes],
    ) -> None:
        rank = _rank(product_id)
        if rank >= self._ceiling:
            return
        found = rows.execute("SELECT digest FROM pictures WHERE product_id = ?", (product_id,))
        gone = {digest for (digest,) in found} - {*shown}
        rows.executemany(
            "DELETE FROM pictures WHERE product_id = ? AND digest = ?",
            [(product_id, digest) for digest in gone],
        )
        rows.executemany(
            "INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?)",
            [(rank, product_id, key, jpeg) for key, jpeg in thumbnails.items() if key in shown],
        )

    def _drop_beyond(self, rows: sqlite3.Connection) -> None:
        """Drop the products of the highest ranks while there are too many pictures."""
        beyond = rows.execute(
            "SELECT rank FROM pictures ORDER BY rank, digest LIMIT 1 OFFSET ?", (self._most,)
        ).fetchone()
        if beyond is not None:
            self._ceiling = beyond[0]
            rows.execute("DELETE FROM pictures WHERE rank >= ?", beyond)
            rows.execute("UPDATE state SET ceiling = ?", beyond)


def _rank(product_id: str) -> int:
    """0..2⁶³ − 1, evenly."""
    digest = hashlib.blake2b(product_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _encode(picture: Picture) -> bytes | None:
    """The picture as it is kept; None if it is too narrow for that."""
    image = Image.fromarray(picture)
    image.thumbnail((SIDE, SIDE))
    if min(image.size) < MIN_SIDE:
        return None
    out = io.BytesIO()
    image.save(out, "JPEG", quality=QUALITY, subsampling=0)
    return out.getvalue()


def _decode(jpeg: bytes) -> Picture:
    with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as image:
        return np.asarray(image.convert("RGB"))
