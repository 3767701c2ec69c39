"""Expected calibration error."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.arrays import Doubles


def calibration_error(probability: Doubles, outcome: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error in 0..1 (Naeini et al. 2015), with bins of equal counts.

    The mean over bins of |mean probability − observed frequency|; 0 for no data.
    """
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, bins) if part.size]
    gaps = [abs(probability[part].mean() - outcome[part].mean()) * part.size for part in parts]
    return float(sum(gaps) / max(order.size, 1))
