"""Fitted weights on disk: tensors (safetensors) with a card, replaced in one atomic step.

The card says what the weights were fitted on and how, and holds their scalars. It lies in the
header of the safetensors file, so that one rename replaces both, and a second time beside the file
as JSON, for people and diffs. Of weights that have it only beside them, it is read there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from models.errors import WeightsError

Tensors = dict[str, NDArray[Any]]
CARD = "card"
"""The key in the header."""


def write_weights(
    path: Path, tensors: Mapping[str, NDArray[Any]], card: Mapping[str, object]
) -> None:
    """Write ``path`` (safetensors) and its card beside it (``.json``), making the folder.

    Cut off at any moment it leaves the old weights with the old card, or the new with the new.
    """
    write_tensors(path, tensors, card)
    with replacing(path.with_suffix(".json")) as beside:
        options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        beside.write_bytes(orjson.dumps(card, option=options))


def write_tensors(
    path: Path, tensors: Mapping[str, NDArray[Any]], card: Mapping[str, object]
) -> None:
    """As `write_weights`, with the card in the header alone."""
    with replacing(path) as written:
        rows = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
        save_file(rows, written, {CARD: orjson.dumps(card).decode()})


def read_weights(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """Tensors and card.

    Raises:
        FileNotFoundError: there is no such file, or no card in it nor beside it.
        WeightsError: it cannot be read; the message says why.
    """
    try:
        with safe_open(path, "np") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            header = (file.metadata() or {}).get(CARD)
        card = orjson.loads(header or path.with_suffix(".json").read_bytes())
    except (SafetensorError, orjson.JSONDecodeError) as error:
        raise WeightsError(str(error)) from error
    if not isinstance(card, dict):
        raise WeightsError(f"its card is no JSON object but {card!r:.40}")
    return tensors, card


def tensor_names(path: Path) -> frozenset[str]:
    """The names of a file's tensors; none where there is no such file."""
    try:
        with safe_open(path, "np") as file:
            return frozenset(file.keys())
    except (OSError, SafetensorError):
        return frozenset()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write, which takes the place of ``path`` once it is whole and on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield part
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
