"""What every image backbone offers."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from models.arrays import Floats
from models.backbone.spec import Layout


class Backbone(Protocol):
    """A loaded network."""

    @property
    def layout(self) -> Layout:
        """How the rows of ``patches`` are laid out."""
        ...

    def patches(self, pictures: Floats) -> Floats:
        """Features (n, rows × columns, c) of preprocessed pictures (n, 3, s, s)."""
        ...

    def trunks(self, pictures: Floats) -> tuple[Floats, Floats]:
        """The patches, and the shallowest map (n, c, h, w) that a tail is trained on."""
        ...


def no_rows(layout: Layout) -> Floats:
    """The patch rows of no pictures."""
    width = sum(layout.widths) + layout.identity
    return np.empty((0, layout.grid[0] * layout.grid[1], width), np.float32)
