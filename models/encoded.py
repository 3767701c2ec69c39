"""What the encoder makes of one product or query: a vector to find it by, juice to judge it by."""

from __future__ import annotations

from dataclasses import dataclass

from models.juice import Floats, Juice


@dataclass(frozen=True, eq=False)
class Encoded:
    """One encoded item: ``vector`` float32 (dim,) of length 1, and its ``juice``."""

    vector: Floats
    juice: Juice
