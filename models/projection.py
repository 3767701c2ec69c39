"""From backbone features to the short vectors and tokens that are stored.

Every depth of the pooled features, and the colours, are whitened on their own with a shrunk
spectrum (Jégou and Chum 2012: whitening undoes what co-occurs), scaled to length 1, weighted, and
turned together onto 256 principal axes. Nothing here was trained on labels, so that a catalog never
seen loses nothing; ``lookstream train embedding DIR`` fits the same on other pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from models.errors import ProjectionError
from models.juice import Floats
from models.juicer import Squeezed, unit

FORMAT = 1
PICTURE_WIDTH = 256
TEXT_WIDTH = 127
TOKEN_WIDTH = 64

DEPTH_WEIGHTS = (0.4, 0.7, 1.0, 0.9)
"""Shallow to deep (blocks.4, .5, .6 and the head of EfficientNet); the last ones for others."""

COLOUR_WEIGHT = 0.7


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
    """All maps of one encoder. ``card`` says what they were fitted on and how."""

    depths: tuple[Axes, ...]
    colour: Axes
    joint: Axes
    tokens: Axes
    text: Axes
    card: dict[str, object]

    def picture(self, squeezed: Squeezed) -> Floats:
        """The picture's vector (256,) of length 1."""
        return unit(self.joint(self.parts(squeezed)))

    def parts(self, squeezed: Squeezed) -> Floats:
        """Whitened depths and colour side by side, weighted, before the joint rotation."""
        weights = DEPTH_WEIGHTS[-len(self.depths) :]
        deep = [
            np.float32(weight) * unit(axes(row))
            for weight, axes, row in zip(weights, self.depths, squeezed.pooled, strict=True)
        ]
        return np.concatenate(
            [*deep, np.float32(COLOUR_WEIGHT) * unit(self.colour(squeezed.colour))]
        )

    def cell_tokens(self, squeezed: Squeezed) -> Floats:
        """One token (patches, 64) of length 1 per patch."""
        return unit(self.tokens(squeezed.cells))

    def sentence(self, vector: Floats) -> Floats:
        """The text part (127,) of length 1 of a sentence vector (384,)."""
        return unit(self.text(vector))


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


def save_projection(projection: Projection, path: Path) -> None:
    """Write ``path`` (safetensors, fp16) and its card beside it (``.json``)."""
    tensors = {
        f"{name}.{part}": np.ascontiguousarray(getattr(axes, part), np.float16)
        for name, axes in _named(projection)
        for part in ("mean", "matrix")
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
    card = {"format": FORMAT, "depths": len(projection.depths), **projection.card}
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
        projection = Projection(**axes, depths=depths, card=card)
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


def _named(projection: Projection) -> list[tuple[str, Axes]]:
    whole = [(name, getattr(projection, name)) for name in ("colour", "joint", "tokens", "text")]
    return [*((f"depth{n}", axes) for n, axes in enumerate(projection.depths)), *whole]
