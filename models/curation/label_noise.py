"""Label noise injected on purpose, and how much of it curation finds.

A measure that real noise cannot give: here the true labels are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from models.curation.documents import UNKNOWN, Flags, Ints
from models.errors import CurationError


class Recovery(NamedTuple):
    """Shares, 0..1.

    ``recovered``: of the wrong labels, those flagged *and* corrected to the true one;
    ``precision``: of the flagged labels, those that were wrong; ``flagged``: of the wrong labels,
    those flagged, whatever was suggested instead, if anything. A share of nothing is 1.
    """

    recovered: float
    precision: float
    flagged: float


def corrupt(
    labels: Ints, share: float, seed: int = 0, within: Sequence[object] | None = None
) -> Ints:
    """Labels (n,) of which ``share`` (0..1) are replaced by another one.

    The rows are drawn uniformly among the labelled ones. The new label is drawn uniformly from the
    other labels in use: from all of them, or with ``within`` (a group for each label, such as its
    leaf category) from the same group. A label that is alone in its group is replaced by any other.

    Raises:
        CurationError: the share is not in 0..1, or there are fewer than two labels.
    """
    used = np.unique(labels[labels != UNKNOWN])
    if not 0 <= share <= 1 or len(used) < 2:
        raise CurationError(
            f"cannot make a share of {share} of {len(used)} labels wrong: give a share in 0..1 and "
            "at least two labels"
        )
    random = np.random.default_rng(seed)
    rows = np.flatnonzero(labels != UNKNOWN)
    changed = labels.copy()
    pools: dict[object, Ints] = {}
    if within is not None:
        groups: dict[object, list[int]] = {}
        for label in used:
            groups.setdefault(within[label], []).append(int(label))
        pools = {group: np.array(members) for group, members in groups.items()}
    for row in random.choice(rows, round(share * len(rows)), replace=False):
        own = labels[row]
        pool = pools[within[own]] if within is not None else used
        pool = pool if len(pool) > 1 else used
        other = random.choice(len(pool) - 1)
        changed[row] = pool[other] if pool[other] != own else pool[-1]
    return changed


def recovery(truth: Ints, given: Ints, flagged: Flags, corrected: Ints) -> Recovery:
    """How well a curation of ``given`` recovered ``truth``.

    Args:
        truth: labels (n,) before corruption.
        given: labels (n,) that were curated.
        flagged: (n,), true where curation calls the given label wrong.
        corrected: (n,), the label it suggests instead; UNKNOWN where none.
    """
    wrong = (truth != given) & (given != UNKNOWN)
    hits = wrong & flagged
    corrected_back = hits & (corrected == truth)

    def share(part: float, whole: float) -> float:
        return part / whole if whole else 1.0

    return Recovery(
        share(float(corrected_back.sum()), float(wrong.sum())),
        share(float(hits.sum()), float(flagged.sum())),
        share(float(hits.sum()), float(wrong.sum())),
    )
