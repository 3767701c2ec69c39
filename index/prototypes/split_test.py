"""Do the members of a prototype fall into two groups? 2-means, and a gap that it did not invent.

2-means cuts every cloud in two, and in hundreds of dimensions a few dozen points always look well
separated along the line that was chosen to separate them. So the line is found on one half of the
members and the gap measured on the other half, both ways round. A round cloud cut through its
middle has a gap (Ashman's D) of about 2.65; two groups must have clearly more.
"""

import math

import numpy as np
import numpy.typing as npt

from index.vectors import Matrix

ROUNDS = 20
MIN_GROUP = 3
"""Members that a group must have in each half: a spread needs them."""
FOLD_SEED = 7
"""Members may come in turns (one group, the other, …): halves are drawn, not alternated."""


def split_test(members: Matrix, gap: float) -> npt.NDArray[np.bool_] | None:
    """Which members (n, d) are in the second of two groups; None if they are one.

    Args:
        members: unit vectors.
        gap: least distance between the groups' means along the line through them, in units of
            their root mean square spread.
    """
    order = np.random.default_rng(FOLD_SEED).permutation(len(members))
    one, other = members[order[::2]], members[order[1::2]]
    if min(separation(one, other), separation(other, one)) < gap:
        return None
    nearer = sides(members, two_means(members))
    return nearer if MIN_GROUP <= nearer.sum() <= len(members) - MIN_GROUP else None


def separation(fitted: Matrix, held_out: Matrix) -> float:
    """Ashman's D of held-out vectors on either side of the 2-means of others; 0 if undefined."""
    if min(len(fitted), len(held_out)) < 2 * MIN_GROUP:
        return 0.0
    centres = two_means(fitted)
    nearer = sides(held_out, centres)
    if not MIN_GROUP <= nearer.sum() <= len(nearer) - MIN_GROUP:
        return 0.0
    along = held_out @ (centres[1] - centres[0])
    apart = along[nearer].mean() - along[~nearer].mean()
    spread = math.sqrt((along[nearer].var(ddof=1) + along[~nearer].var(ddof=1)) / 2)
    return float(apart / spread) if spread > 0 else math.inf


def two_means(vectors: Matrix) -> Matrix:
    """Centres (2, d) of two groups; deterministic: it starts from two vectors far apart."""
    first = vectors[np.argmin(vectors @ vectors.mean(axis=0))]
    centres: Matrix = np.stack([first, vectors[np.argmin(vectors @ first)]])
    nearer = sides(vectors, centres)
    for _ in range(ROUNDS):
        if nearer.all() or not nearer.any():
            break
        centres = np.stack([vectors[~nearer].mean(axis=0), vectors[nearer].mean(axis=0)])
        before, nearer = nearer, sides(vectors, centres)
        if np.array_equal(before, nearer):
            break
    return centres


def sides(vectors: Matrix, centres: Matrix) -> npt.NDArray[np.bool_]:
    """Which vectors are nearer to the second centre."""
    middle = (centres**2).sum(axis=1) / 2
    found: npt.NDArray[np.bool_] = (vectors @ (centres[1] - centres[0])) > middle[1] - middle[0]
    return found
