"""The maps from backbone features to the identity, the appearance and the tokens that are stored.

The appearance is a rotation of raw features (`models.embedding.appearance`), and the colour one of
fine histograms. For the identity every depth of the pooled features, and the coarse histogram, are
whitened on their own with a shrunk spectrum (Jégou and Chum 2012: whitening undoes
co-occurrences), scaled to length 1 and weighted; the identity is a map of these, and of the
features of the trained identity branch, learned by ``lookstream train embedding``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats, unit
from models.backbone.spec import IDENTITY_BRANCH
from models.embedding.appearance import raw_features
from models.embedding.identity_library import IdentityLibrary
from models.embedding.layout import PictureParts
from models.embedding.pca import PrincipalAxes
from models.errors import ProjectionError, WeightsError
from models.juicer.juicer import PictureFeatures
from models.weights.files import read_weights, tensor_names, write_weights

FORMAT = 6
TOKEN_WIDTH = 64

DEPTH_WEIGHTS = (0.4, 0.7, 1.0, 0.9)
"""Shallow to deep (blocks.4, .5, .6 and the head of EfficientNet); the last ones for others."""

COLOUR_WEIGHT = 0.7
IDENTITY_BRANCH_WEIGHT = 1.5
"""Of the identity branch's features when training starts; the identity map learns its own."""


@dataclass(frozen=True, eq=False)
class Projection:
    """All maps of one encoder. ``card`` says what they were fitted on and how.

    Attributes:
        depths, colour: of pooled features and coarse histograms, onto their own axes.
        appearance: of raw features.
        fine_colour: of fine histograms.
        tokens: of patches.
        branch: of the identity branch's features; None without one.
        identity: of depths, colour and ``branch`` side by side; None in an untrained encoder.
        library: the identities of training; None in an untrained encoder.
    """

    depths: tuple[PrincipalAxes, ...]
    colour: PrincipalAxes
    appearance: PrincipalAxes
    fine_colour: PrincipalAxes
    tokens: PrincipalAxes
    card: dict[str, object]
    branch: PrincipalAxes | None = None
    identity: PrincipalAxes | None = None
    library: IdentityLibrary | None = None

    def project(self, picture: PictureFeatures) -> PictureParts:
        """The parts of the picture's vector; an untrained encoder gives no identity."""
        return self.project_features(
            pooled_features(picture), picture.fine_colour, picture.identity
        )

    def project_features(self, pooled: Floats, fine_colour: Floats, branch: Floats) -> PictureParts:
        """The parts (…, k) of vectors from `pooled_features` and what else pictures have."""
        appearance = self.project_appearance(pooled)
        colour = self.project_colour(fine_colour)
        if self.identity is None:
            return PictureParts(None, appearance, colour)
        identity = unit(self.identity(self.identity_inputs(pooled, branch)))
        return PictureParts(identity, appearance, colour)

    def identity_inputs(self, pooled: Floats, branch: Floats) -> Floats:
        """What the identity is a map of, (…, d): whitened features, and the identity branch's."""
        whitened = self.whitened(pooled)
        if self.branch is None:
            return whitened
        of_branch = np.float32(IDENTITY_BRANCH_WEIGHT) * unit(self.branch(branch))
        return np.concatenate([whitened, of_branch], axis=-1)

    @property
    def widths(self) -> tuple[int, ...]:
        """How many values each depth has, and the coarse histogram."""
        return tuple(len(axes.mean) for axes in (*self.depths, self.colour))

    def project_appearance(self, pooled: Floats) -> Floats:
        """Appearances (…, 384) of length 1 from `pooled_features`."""
        return unit(self.appearance(self.raw_features(pooled)))

    def project_colour(self, fine_colour: Floats) -> Floats:
        """Colours (…, 128) of length 1 from fine histograms."""
        return unit(self.fine_colour(fine_colour))

    def raw_features(self, pooled: Floats) -> Floats:
        """Raw features (…, c), see `models.embedding.appearance`, from `pooled_features`."""
        return raw_features(self._split(pooled)[:-1])

    def whitened(self, pooled: Floats) -> Floats:
        """Depths and colours side by side (…, d), whitened and weighted, from `pooled_features`."""
        weights = (*DEPTH_WEIGHTS[-len(self.depths) :], COLOUR_WEIGHT)
        maps = (*self.depths, self.colour)
        rows = [
            np.float32(weight) * unit(axes(row))
            for weight, axes, row in zip(weights, maps, self._split(pooled), strict=True)
        ]
        return np.concatenate(rows, axis=-1)

    def _split(self, pooled: Floats) -> list[Floats]:
        return np.split(pooled, np.cumsum(self.widths)[:-1], axis=-1)

    def patch_tokens(self, picture: PictureFeatures) -> Floats:
        """One token (patches, 64) of length 1 per patch."""
        return unit(self.tokens(picture.cells))


def pooled_features(picture: PictureFeatures) -> Floats:
    """Pooled depths and coarse histogram side by side, (f,), which most maps start from."""
    return np.concatenate([*picture.pooled, picture.colour])


def save_projection(
    projection: Projection,
    path: Path,
    identity_branch: Mapping[str, NDArray[np.generic]] | None = None,
) -> None:
    """Write ``path`` (safetensors, fp16) and its card beside it (``.json``).

    ``identity_branch`` are the tensors of a trained identity branch, named as in
    `models.backbone.identity_branch`.
    """
    tensors = dict(identity_branch or {}) | {
        f"{name}.{part}": np.ascontiguousarray(getattr(axes, part), np.float16)
        for name, axes in _named_maps(projection)
        for part in ("mean", "matrix")
    }
    if projection.library is not None:
        tensors["library"] = np.ascontiguousarray(projection.library.identities, np.float16)
    card = {"format": FORMAT, "depths": len(projection.depths), **projection.card}
    if projection.library is not None:
        card["known_weight"] = projection.library.known_weight
    write_weights(path, tensors, card)


def load_projection(path: Path, widths: Sequence[int]) -> Projection:
    """Read a projection for a backbone with these depths.

    Raises:
        ProjectionError: missing, unreadable, or fitted for another backbone.
    """
    command = f"fit it with `lookstream train embedding DIR --out {path}`"
    try:
        tensors, card = read_weights(path)
        axes = {
            name.removesuffix(".mean"): PrincipalAxes(
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
            library = IdentityLibrary(
                tensors["library"].astype(np.float32), float(card.pop("known_weight"))
            )
        projection = Projection(**axes, depths=depths, card=card, library=library)
    except FileNotFoundError as error:
        raise ProjectionError(f"no projection at {path}; {command}") from error
    except (WeightsError, KeyError, TypeError) as error:
        raise ProjectionError(f"{path} cannot be read ({error}); {command}") from error
    found = [len(one.mean) for one in projection.depths]
    if found != list(widths):
        raise ProjectionError(
            f"{path} was fitted for feature widths {found}, the backbone has {list(widths)}; "
            f"{command}"
        )
    return projection


def has_identity_branch(path: Path) -> bool:
    """Whether an encoder's file holds an identity branch; False where there is no such file."""
    return any(name.startswith(IDENTITY_BRANCH) for name in tensor_names(path))


def _named_maps(projection: Projection) -> list[tuple[str, PrincipalAxes]]:
    names = ("colour", "appearance", "fine_colour", "tokens", "branch", "identity")
    whole = [(name, getattr(projection, name)) for name in names]
    deep = [(f"depth{number}", axes) for number, axes in enumerate(projection.depths)]
    return [*deep, *((name, axes) for name, axes in whole if axes is not None)]
