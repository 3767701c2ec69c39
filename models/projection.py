"""From backbone features to the short vectors and tokens that are stored.

Every depth of the pooled features, and the colours, are whitened on their own with a shrunk
spectrum (Jégou and Chum 2012: whitening undoes what co-occurs), scaled to length 1, weighted, and
turned together onto principal axes: that is the look, for which nothing is trained. The identity
is a map of the same parts, and of what a trained tail sees, learned by ``lookstream train
embedding``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from models.errors import ProjectionError
from models.juice import Floats
from models.juicer import Squeezed, unit
from models.library import Library
from models.networks import TAIL

FORMAT = 3
TOKEN_WIDTH = 64

DEPTH_WEIGHTS = (0.4, 0.7, 1.0, 0.9)
"""Shallow to deep (blocks.4, .5, .6 and the head of EfficientNet); the last ones for others."""

COLOUR_WEIGHT = 0.7
KNOWN_WEIGHT = 1.5
"""Of the trained tail's features where training starts from; the identity map learns its own."""


@dataclass(frozen=True, eq=False)
class Axes:
    """An affine map x ↦ (x − mean) · matrix from (…, c) to (…, k)."""

    mean: Floats
    matrix: Floats

    def __call__(self, rows: Floats) -> Floats:
        """Map the last axis."""
        mapped: Floats = np.matmul(rows - self.mean, self.matrix, dtype=np.float32)
        return mapped


@dataclass(frozen=True, eq=False)
class Projection:
    """All maps of one encoder. ``card`` says what they were fitted on and how.

    Attributes:
        depths, colour: of pooled features and colours, onto their own axes.
        look: of these side by side, onto the principal axes of all.
        tokens: of patches.
        known: of the trained tail's map; None without one.
        identity: of depths, colour and ``known`` side by side; None where nothing was trained.
        library: the identities that training told apart; None likewise.
    """

    depths: tuple[Axes, ...]
    colour: Axes
    look: Axes
    tokens: Axes
    card: dict[str, object]
    known: Axes | None = None
    identity: Axes | None = None
    library: Library | None = None

    def picture(self, squeezed: Squeezed) -> tuple[Floats | None, Floats]:
        """The picture's identity (192,), None where nothing was trained, and its look (192,).

        Both of length 1.
        """
        parts = self.parts(squeezed)
        look = unit(self.look(parts))
        if self.identity is None:
            return None, look
        if self.known is not None:
            known = np.float32(KNOWN_WEIGHT) * unit(self.known(squeezed.identity))
            parts = np.concatenate([parts, known])
        return unit(self.identity(parts)), look

    @property
    def width(self) -> int:
        """How many values `parts` gives."""
        return sum(axes.matrix.shape[1] for axes in (*self.depths, self.colour))

    def parts(self, squeezed: Squeezed) -> Floats:
        """Depths and colour side by side, weighted: what nothing was trained for."""
        weights = DEPTH_WEIGHTS[-len(self.depths) :]
        deep = [
            np.float32(weight) * unit(axes(row))
            for weight, axes, row in zip(weights, self.depths, squeezed.pooled, strict=True)
        ]
        deep.append(np.float32(COLOUR_WEIGHT) * unit(self.colour(squeezed.colour)))
        return np.concatenate(deep)

    def cell_tokens(self, squeezed: Squeezed) -> Floats:
        """One token (patches, 64) of length 1 per patch."""
        return unit(self.tokens(squeezed.cells))


def fit_axes(sources: Sequence[Floats], width: int, shrinkage: float | None) -> Axes:
    """Principal axes of rows (n, c) from several sources, every source counting the same.

    ``shrinkage`` whitens: axis i is divided by √(λ_i + shrinkage · mean λ), which keeps the noise
    of weak axes small. None only rotates. Fewer than ``width`` axes come back where c or the rows
    are fewer.
    """
    mean: NDArray[np.float64] = np.mean(
        [rows.mean(axis=0, dtype=np.float64) for rows in sources], axis=0
    )
    covariance = np.zeros((len(mean), len(mean)))
    for rows in sources:
        centred = rows - mean
        covariance += centred.T @ centred / len(rows) / len(sources)
    spectrum, axes = np.linalg.eigh(covariance)
    order = np.argsort(-spectrum)[: min(width, sum(map(len, sources)))]
    chosen, matrix = spectrum[order], axes[:, order]
    if shrinkage is not None:
        matrix = matrix / np.sqrt(chosen + shrinkage * chosen.mean())
    # An axis may point either way; fixing it makes a fit reproducible.
    matrix = matrix * np.sign(matrix[np.abs(matrix).argmax(axis=0), np.arange(len(order))])
    return Axes(mean.astype(np.float32), matrix.astype(np.float32))


def save_projection(
    projection: Projection, path: Path, tail: Mapping[str, NDArray[np.generic]] | None = None
) -> None:
    """Write ``path`` (safetensors, fp16) and its card beside it (``.json``).

    ``tail`` are the tensors of a trained tail, their names as in `models.tail`.
    """
    tensors = dict(tail or {}) | {
        f"{name}.{part}": np.ascontiguousarray(getattr(axes, part), np.float16)
        for name, axes in _named(projection)
        for part in ("mean", "matrix")
    }
    if projection.library is not None:
        tensors["library"] = np.ascontiguousarray(projection.library.identities, np.float16)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
    card = {"format": FORMAT, "depths": len(projection.depths), **projection.card}
    if projection.library is not None:
        card["trust"] = projection.library.trust
    path.with_suffix(".json").write_bytes(
        orjson.dumps(card, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    )


def load_projection(path: Path, widths: Sequence[int]) -> Projection:
    """Read a projection for a backbone with these depths.

    Raises:
        ProjectionError: missing, unreadable, or fitted for another backbone.
    """
    command = f"fit it with `lookstream train embedding DIR --out {path}`"
    try:
        card = orjson.loads(path.with_suffix(".json").read_bytes())
        tensors = load_file(path)
        axes = {
            name.removesuffix(".mean"): Axes(
                mean.astype(np.float32),
                tensors[f"{name.removesuffix('.mean')}.matrix"].astype(np.float32),
            )
            for name, mean in tensors.items()
            if name.endswith(".mean")
        }
        depths = tuple(axes.pop(f"depth{number}") for number in range(card.pop("depths")))
        if card.pop("format") != FORMAT:
            raise ProjectionError(f"{path} was written by another version; {command}")
        library = None
        if "library" in tensors:
            library = Library(tensors["library"].astype(np.float32), float(card.pop("trust")))
        projection = Projection(**axes, depths=depths, card=card, library=library)
    except FileNotFoundError as error:
        raise ProjectionError(f"no projection at {path}; {command}") from error
    except (SafetensorError, orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ProjectionError(f"{path} cannot be read ({error}); {command}") from error
    found = [len(one.mean) for one in projection.depths]
    if found != list(widths):
        raise ProjectionError(
            f"{path} was fitted for feature widths {found}, the backbone has {list(widths)}; "
            f"{command}"
        )
    return projection


def has_tail(path: Path) -> bool:
    """Whether an encoder's file holds a trained tail; False where there is no such file."""
    try:
        with safe_open(path, "np") as file:
            return any(key.startswith(TAIL) for key in file.keys())  # noqa: SIM118
    except (OSError, SafetensorError):
        return False


def _named(projection: Projection) -> list[tuple[str, Axes]]:
    names = ("colour", "look", "tokens", "known", "identity")
    whole = [(name, getattr(projection, name)) for name in names]
    deep = [(f"depth{number}", axes) for number, axes in enumerate(projection.depths)]
    return [*deep, *((name, axes) for name, axes in whole if axes is not None)]
