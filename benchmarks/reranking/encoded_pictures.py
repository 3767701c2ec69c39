"""Pictures and views of them as an encoder has them: encoded once, kept on disk.

Training tries many lists of the same pictures; encoding takes nearly all of its time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from models.embedding.protocol import Encoded, SearchEncoder
from models.images.files import open_picture
from models.images.letterbox import Picture
from models.images.views import catalog_view
from models.juicer.juice import Juice
from models.progress import Progress, no_progress
from models.weights.files import replacing

BATCH = 8


class Source(msgspec.Struct, frozen=True):
    """A picture, or a view of it.

    Attributes:
        path: of the file.
        view: the number of the view (`catalog_view`); None for the picture as it is.
        other: a picture that the view may be pasted on.
    """

    path: str
    view: int | None = None
    other: str = ""


def encode_sources(
    encoder: SearchEncoder,
    sources: Sequence[Source],
    folder: Path | None,
    progress: Progress = no_progress,
) -> list[Encoded]:
    """The pictures as items without text, in order; those in ``folder`` are not encoded again.

    What is kept is for these sources and this encoder: another encoder, whose `model_id` differs,
    encodes them anew. ``folder`` is None to keep nothing.

    Raises:
        PictureError: a picture cannot be opened; the message names it.
    """
    key = hashlib.sha256(msgspec.json.encode([list(sources), encoder.model_id])).hexdigest()
    path = None if folder is None else folder / f"{key[:16]}.npz"
    if path is not None and path.is_file():
        return _read(path)
    encoded: list[Encoded] = []
    for start in range(0, len(sources), BATCH):
        progress(start, len(sources))
        pictures = [_picture(one) for one in sources[start : start + BATCH]]
        encoded += encoder.encode_items(pictures, [None] * len(pictures))
    progress(len(sources), len(sources))
    if path is not None:
        _write(encoded, path)
    return encoded


def _picture(source: Source) -> Picture:
    picture = open_picture(Path(source.path))
    if source.view is None:
        return picture
    name = hashlib.sha256(Path(source.path).name.encode()).digest()
    rng = np.random.default_rng([source.view, *name])
    return catalog_view(picture, open_picture(Path(source.other)), source.view, rng)


def _write(encoded: Sequence[Encoded], path: Path) -> None:
    juices = [one.juice.to_bytes() for one in encoded]
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part, part.open("wb") as file:
        np.savez(
            file,
            vectors=np.stack([one.vector for one in encoded]),
            juices=np.frombuffer(b"".join(juices), np.uint8),
            ends=np.cumsum([len(one) for one in juices]),
        )


def _read(path: Path) -> list[Encoded]:
    with np.load(path, allow_pickle=False) as file:
        vectors, ends = file["vectors"], file["ends"].tolist()
        data = file["juices"].tobytes()
    return [
        Encoded(vector, Juice.from_bytes(data[start:end]))
        for vector, start, end in zip(vectors, [0, *ends[:-1]], ends, strict=True)
    ]
