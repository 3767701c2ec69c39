"""Principal axes, an affine map; fitted in `models.training.embedding.fit_pca`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.arrays import Floats


@dataclass(frozen=True, eq=False)
class PrincipalAxes:
    """An affine map x ↦ (x − mean) · matrix from (…, c) to (…, k)."""

    mean: Floats
    matrix: Floats

    def __call__(self, rows: Floats) -> Floats:
        """Map the last axis."""
        mapped: Floats = np.matmul(rows - self.mean, self.matrix, dtype=np.float32)
        return mapped
