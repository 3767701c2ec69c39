"""A catalog left out: its parts by maps that were fitted on the others."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.unseen.catalog_task import CatalogTask
from benchmarks.unseen.features import Features
from models.arrays import Floats
from models.embedding.appearance import raw_features
from models.embedding.layout import PartWeights, PictureParts, compose_item
from models.embedding.part_weights import Witnesses
from models.embedding.pca import PrincipalAxes
from models.embedding.projection import Projection
from models.training.embedding.fit_appearance import fit_appearance, fit_colour


@dataclass(frozen=True, eq=False)
class LeftOut:
    """A catalog with vectors by a projection that was fitted without it.

    Attributes:
        task: the catalog.
        features: of all its pictures.
        projection: without an identity, if that was trained on this catalog.
        vectors: of all its pictures, (pictures, 768), encoded as items without text.
    """

    task: CatalogTask
    features: Features
    projection: Projection
    vectors: Floats

    @property
    def items(self) -> Floats:
        """The items' vectors, (n, 768)."""
        return self.vectors[self.task.items]

    @property
    def queries(self) -> Floats:
        """The queries' vectors as if they were items, (q, 768)."""
        return self.vectors[self.task.queries]

    @property
    def prior(self) -> PartWeights:
        """The weights without the catalog's evidence."""
        library = self.projection.library
        if self.projection.identity is None or library is None:
            return PartWeights.with_identity(0.0)
        return PartWeights.with_identity(library.identity_weight(self.items))

    def witnesses(self, *, mild: bool) -> Witnesses:
        """Items and all their views, or the mild ones, which parts are weighed by."""
        task = self.task
        asked = np.arange(len(task.views)) % 2 == 0 if mild else np.ones(len(task.views), bool)
        return Witnesses(
            self.items[task.witnesses],
            np.arange(len(task.witnesses)),
            task.categories[task.witnesses],
            self.vectors[task.views[asked]],
            task.shown[asked],
        )

    def with_projection(self, projection: Projection) -> LeftOut:
        """The same catalog by another projection."""
        vectors = encode(projection, self.features)
        return LeftOut(self.task, self.features, projection, vectors)


def leave_out(
    task: CatalogTask,
    features: Features,
    others: Sequence[Features],
    packaged: Projection,
    classes: Floats | None,
    work: Path,
) -> LeftOut:
    """A catalog by the packaged projection, but appearance and colour fitted on ``others``.

    Args:
        task, features: the catalog.
        others: pictures of the other catalogs, which all count the same.
        packaged: its identity is left out, if it was trained on this catalog.
        classes: the classifier's weights, see `fit_appearance`.
        work: a folder where the maps are kept for the next call.
    """
    sources = [raw_features(one.depths) for one in others]
    colours = [one.fine_colour for one in others]
    digest = hashlib.sha256()
    for rows in (*sources, *colours):
        digest.update(np.ascontiguousarray(rows).data)
    path = work / f"maps-{digest.hexdigest()[:16]}.npz"
    if not path.is_file():
        appearance, colour = fit_appearance(sources, classes), fit_colour(colours)
        np.savez(path, appearance=appearance.matrix, colour=colour.matrix)
    with np.load(path) as kept:
        fitted = replace(
            packaged,
            appearance=_rotation(kept["appearance"]),
            fine_colour=_rotation(kept["colour"]),
            identity=None if task.seen else packaged.identity,
        )
    return LeftOut(task, features, fitted, encode(fitted, features))


def encode(projection: Projection, features: Features) -> Floats:
    """Vectors (n, 768) of pictures as items without text."""
    identity, appearance, colour = projection.project_features(
        features.pooled, features.fine_colour, features.branch
    )
    return np.stack(
        [
            compose_item(
                PictureParts(
                    None if identity is None else identity[at],
                    _row(appearance, at),
                    _row(colour, at),
                ),
                None,
            )
            for at in range(len(features.fine_colour))
        ]
    )


def _row(rows: Floats | None, at: int) -> Floats | None:
    return None if rows is None else rows[at]


def _rotation(matrix: Floats) -> PrincipalAxes:
    return PrincipalAxes(np.zeros(len(matrix), np.float32), matrix)
