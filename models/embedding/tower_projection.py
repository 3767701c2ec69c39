"""From the embeddings of a Hugging Face network to the parts of a vector.

A rotation keeps all cosines, so an embedding that fits into the appearance's place loses nothing,
whatever the rotation. It is there for shorter vectors, which keep its first axes: by default it is
drawn from a fixed seed, which spreads what an embedding says evenly over them (Johnson and
Lindenstrauss), so that any prefix is usable without data. One that was fitted on pictures keeps
more in the same length (`lookstream train rotation`).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from models.arrays import Floats, unit
from models.backbone.tower import TextTower
from models.backbone.tower_files import TextCard
from models.embedding.identity_library import IdentityLibrary
from models.embedding.layout import APPEARANCE_PREFIXES, PREFIXES, PictureParts
from models.embedding.pca import PrincipalAxes
from models.embedding.projection import TOKEN_WIDTH
from models.errors import ProjectionError, WeightsError
from models.juicer.juicer import PictureFeatures
from models.weights import WEIGHTS
from models.weights.files import read_weights, write_weights

FORMAT = 1
SEED = 0
PACKAGED_COLOUR = WEIGHTS / "lite2.safetensors"
"""Colours are those of the packaged encoder: they are measured on pixels, not by a network."""


@dataclass(frozen=True, eq=False)
class TowerProjection:
    """The maps of one network.

    Attributes:
        rotation: orthonormal columns (d, k): of embeddings, pictures' and words' alike.
        tokens: orthonormal columns (c, at most 64): of patches.
        fine_colour: of fine histograms.
        library: none; the network was not trained to tell products of a library apart.
    """

    rotation: Floats
    tokens: Floats
    fine_colour: PrincipalAxes
    library: IdentityLibrary | None = None

    def project(self, picture: PictureFeatures) -> PictureParts:
        """The parts of the picture's vector."""
        (embedding,) = picture.pooled
        colour = unit(self.fine_colour(picture.fine_colour))
        return PictureParts(None, self.rotate(embedding), colour)

    def rotate(self, embeddings: Floats) -> Floats:
        """Appearances (…, k) of length 1 from embeddings (…, d), of pictures or of words."""
        turned: Floats = np.matmul(unit(embeddings), self.rotation, dtype=np.float32)
        return unit(turned)

    def patch_tokens(self, picture: PictureFeatures) -> Floats:
        """One token (patches, 64) of length 1 per patch."""
        turned: Floats = np.matmul(picture.cells, self.tokens, dtype=np.float32)
        return unit(turned)


class WordReader:
    """Words as appearances; the text tower is loaded for the first, since only queries have any."""

    def __init__(
        self, exported: Path, card: TextCard, threads: int, projection: TowerProjection
    ) -> None:
        self._files = exported, card, threads
        self._projection = projection
        self._lock = threading.Lock()
        self._tower: TextTower | None = None

    def __call__(self, text: str) -> Floats:
        """Where a picture of what the text says would lie, (k,) of length 1."""
        with self._lock:
            tower = self._tower = self._tower or TextTower(*self._files)
        return self._projection.rotate(tower.embed(text))


def own_length(width: int) -> int:
    """The shortest vector that holds embeddings of this width whole, or the longest there is."""
    fits = [
        dim
        for dim, appearance in zip(PREFIXES, APPEARANCE_PREFIXES, strict=True)
        if dim >= 768 and appearance >= width
    ]
    return fits[0] if fits else PREFIXES[-1]


def fixed_projection(width: int, patch_width: int) -> TowerProjection:
    """The projection of a network that nothing was fitted for; the same on every machine."""
    return TowerProjection(
        _drawn(width, min(width, APPEARANCE_PREFIXES[-1])),
        _drawn(patch_width, min(patch_width, TOKEN_WIDTH)),
        packaged_colour(),
    )


@cache
def packaged_colour() -> PrincipalAxes:
    """The packaged encoder's axes of fine histograms; raises WeightsError."""
    tensors, _ = read_weights(PACKAGED_COLOUR)
    mean, matrix = tensors["fine_colour.mean"], tensors["fine_colour.matrix"]
    return PrincipalAxes(mean.astype(np.float32), matrix.astype(np.float32))


def save_tower_projection(projection: TowerProjection, path: Path, card: dict[str, object]) -> None:
    """Write ``path`` (safetensors, fp32) and its card beside it (``.json``)."""
    write_weights(
        path,
        {"rotation": projection.rotation, "tokens": projection.tokens},
        {"format": FORMAT, "tower": True, **card},
    )


def load_tower_projection(path: Path, width: int, patch_width: int, name: str) -> TowerProjection:
    """Read what was fitted for a network of these widths.

    Raises:
        ProjectionError: missing, unreadable, or fitted for another network.
    """
    command = f"fit it with `lookstream train rotation DIR --backbone {name} --out {path}`"
    try:
        tensors, card = read_weights(path)
        rotation, tokens = tensors["rotation"], tensors["tokens"]
    except FileNotFoundError as error:
        raise ProjectionError(f"no projection at {path}; {command}") from error
    except (WeightsError, KeyError) as error:
        raise ProjectionError(
            f"{path} holds no projection for a network from a folder ({error}); {command}"
        ) from error
    if card.get("format") != FORMAT or (len(rotation), len(tokens)) != (width, patch_width):
        raise ProjectionError(
            f"{path} was fitted for embeddings of {len(rotation)} and patches of {len(tokens)} "
            f"values, those of {name} have {width} and {patch_width}; {command}"
        )
    return TowerProjection(rotation, tokens, packaged_colour())


def _drawn(width: int, kept: int) -> Floats:
    """Orthonormal columns (width, kept), drawn from `SEED`."""
    drawn = np.random.default_rng(SEED).standard_normal((width, kept))
    basis, upper = np.linalg.qr(drawn)
    basis *= np.sign(np.diag(upper))  # which LAPACK leaves open
    return basis.astype(np.float32)
