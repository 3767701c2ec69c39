"""Do the members of a prototype fall into two groups? 2-means, tested on held-out members.

2-means divides any distribution in two, and in hundreds of dimensions a few dozen points always
look well separated along the line through the two centres. So the centres are fitted to one half of
the members, and their separation (Ashman's D, Ashman et al. 1994) is measured on the other half,
both ways round. A round distribution cut through its middle has a D of about 2.65; two groups must
have clearly more.
"""

import math

import numpy as np
import numpy.typing as npt

from index.vectors import Matrix

ROUNDS = 20
"""Iterations of 2-means, at most."""
MIN_GROUP = 3
"""Members that a group must have in each half, for a standard deviation."""
FOLD_SEED = 7
"""Halves are drawn at random: members may alternate between the groups."""


def split_test(members: Matrix, min_separation: float) -> npt.NDArray[np.bool_] | None:
    """Which members (n, d) are in the second of two groups; None if there is only one.

    Args:
        members: unit vectors.
        min_separation: least distance between the groups' means along the line through them, in
            units of their root mean square standard deviation.
    """
    order = np.random.default_rng(FOLD_SEED).permutation(len(members))
    one, other = members[order[::2]], members[order[1::2]]
    if min(held_out_separation(one, other), held_out_separation(other, one)) < min_separation:
        return None
    nearer = nearer_to_second(members, two_means(members))
    return nearer if MIN_GROUP <= nearer.sum() <= len(members) - MIN_GROUP else None


def held_out_separation(fitted: Matrix, held_out: Matrix) -> float:
    """Ashman's D of held-out vectors divided by the 2-means of others; 0 if undefined."""
    if min(len(fitted), len(held_out)) < 2 * MIN_GROUP:
        return 0.0
    centres = two_means(fitted)
    nearer = nearer_to_second(held_out, centres)
    if not MIN_GROUP <= nearer.sum() <= len(nearer) - MIN_GROUP:
        return 0.0
    along = held_out @ (centres[1] - centres[0])
    distance = along[nearer].mean() - along[~nearer].mean()
    spread = math.sqrt((along[nearer].var(ddof=1) + along[~nearer].var(ddof=1)) / 2)
    return float(distance / spread) if spread > 0 else math.inf


def two_means(vectors: Matrix) -> Matrix:
    """Centres (2, d) of two groups; deterministic, since it starts from two distant vectors."""
    first = vectors[np.argmin(vectors @ vectors.mean(axis=0))]
    centres: Matrix = np.stack([first, vectors[np.argmin(vectors @ first)]])
    nearer = nearer_to_second(vectors, centres)
    for _ in range(ROUNDS):
        if nearer.all() or not nearer.any():
            break
        centres = np.stack([vectors[~nearer].mean(axis=0), vectors[nearer].mean(axis=0)])
        before, nearer = nearer, nearer_to_second(vectors, centres)
        if np.array_equal(before, nearer):
            break
    return centres


def nearer_to_second(vectors: Matrix, centres: Matrix) -> npt.NDArray[np.bool_]:
    """Which vectors are nearer to the second centre."""
    middle = (centres**2).sum(axis=1) / 2
    found: npt.NDArray[np.bool_] = (vectors @ (centres[1] - centres[0])) > middle[1] - middle[0]
    return found
