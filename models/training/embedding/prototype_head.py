"""The classification head: sub-centres of every ID's prototype, dropped when training is done.

Rows start as the centroids of their IDs (Pailitao-VL §4, stage 2). With K > 1 sub-centres an ID may
have several appearances, and a wrongly labelled sample pulls a minor sub-centre rather than the
dominant one (Deng et al. 2020, "Sub-center ArcFace").
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.errors import TrainingError
from models.training.embedding.losses import MarginSoftmax, arcface, normalised_prefix

if TYPE_CHECKING:
    from models.training.embedding.sparse_negatives import SparseNegatives

LLOYD_ROUNDS = 5


class PrototypeHead(nn.Module):
    """Directions of U IDs with K sub-centres each: ``weight`` (U, K, D), of any length.

    The same rows serve every prefix: prefix g uses their first g values, scaled to length 1.
    ``concepts`` (U,) numbers each ID's concept, over all ranks where the head is sharded; None
    where they are not known.
    """

    concepts: Tensor | None = None

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        if weight.ndim != 3 or 0 in weight.shape:
            raise TrainingError(f"prototypes must be (U, K, D), not {tuple(weight.shape)}")
        self.weight = nn.Parameter(weight.float().clone())

    @property
    def classes(self) -> int:
        """U, the number of IDs."""
        return len(self.weight)

    def forward(self, features: Tensor, prefix: int, columns: Tensor | None = None) -> Tensor:
        """Cosines of features (n, D) to every ID, or to those in ``columns``: (n, u).

        The nearest of an ID's sub-centres counts.
        """
        return nearest_centre(
            normalised_prefix(features, prefix),
            normalised_prefix(self.weight if columns is None else self.weight[columns], prefix),
        )

    def identification_loss(
        self,
        features: Tensor,
        ids: Tensor,
        softmax: MarginSoftmax,
        negatives: "SparseNegatives | None" = None,
    ) -> Tensor:
        """The loss of stage 3: Σ_g λ_g · (−mean log P(y | h_{1:g})) of features (n, D).

        ``negatives`` selects and weights the IDs that each row is compared with; by default all,
        each with weight 1.
        """
        columns, weights, targets, same_concept = None, None, ids, None
        if negatives is not None:
            columns, weights = negatives.select(ids)
            targets = ids if columns is None else torch.searchsorted(columns, ids)
        if self.concepts is not None and softmax.concept_smoothing:
            concepts = self.concepts if columns is None else self.concepts[columns]
            same_concept = self.concepts[ids][:, None] == concepts
        total = features.new_zeros((), dtype=torch.float32)
        for prefix, weight in softmax.terms():
            total = total + weight * arcface(
                self(features, prefix, columns),
                targets,
                softmax,
                weights,
                same_concept,
            )
        return total

    @torch.no_grad()
    def prototypes(self) -> Tensor:
        """One unit vector per ID, the mean direction of its sub-centres: (U, D)."""
        return functional.normalize(functional.normalize(self.weight, dim=-1).mean(dim=1), dim=-1)


def nearest_centre(rows: Tensor, centres: Tensor) -> Tensor:
    """Cosines (n, u) of unit rows (n, d) to the nearest of each ID's unit centres (u, K, d)."""
    classes, count, width = centres.shape
    cosines = rows @ centres.reshape(classes * count, width).T
    return cosines.view(len(rows), classes, count).amax(dim=2) if count > 1 else cosines


def centroids_of_ids(embeddings: Tensor, ids: Tensor, classes: int, sub_centres: int = 1) -> Tensor:
    """Head rows (U, K, D) from embeddings (n, D) of the training set and their IDs (n,).

    One sub-centre is the centroid of the ID's unit vectors. More are found by spherical k-means
    within each ID, which starts from the centroid and then the sample farthest from all centres so
    far; an ID with fewer samples than sub-centres has some that coincide.

    Raises:
        TrainingError: an ID has no sample, or one lies outside 0..classes − 1.
    """
    if not len(ids) or int(ids.min()) < 0 or int(ids.max()) >= classes:
        raise TrainingError(f"IDs must number the {classes} prototypes from 0 to {classes - 1}")
    counts = torch.bincount(ids, minlength=classes)
    if not counts.all():
        raise TrainingError(
            f"{int((counts == 0).sum())} of {classes} IDs have no sample, the first is "
            f"{int((counts == 0).nonzero()[0])}: number the IDs without gaps"
        )
    rows = functional.normalize(embeddings.float(), dim=-1)
    centres = _means(rows, ids, classes)[:, None]
    for _ in range(1, sub_centres):
        farthest = _smallest_of_each(
            ids, (centres[ids] @ rows[:, :, None]).amax(dim=(1, 2)), classes
        )
        centres = torch.cat([centres, rows[farthest][:, None]], dim=1)
    for _ in range(LLOYD_ROUNDS if sub_centres > 1 else 0):
        owner = ids * sub_centres + nearest_own_centre(rows, ids, centres)[0]
        moved = _means(rows, owner, classes * sub_centres).view_as(centres)
        taken = torch.bincount(owner, minlength=classes * sub_centres).view(classes, -1, 1) > 0
        centres = torch.where(taken, moved, centres)
    return centres


def nearest_own_centre(rows: Tensor, ids: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest sub-centre of each row's own ID, (n,), and the cosines to all its own, (n, K)."""
    directions = functional.normalize(weight.float(), dim=-1)[ids]
    cosines = (directions @ functional.normalize(rows.float(), dim=-1)[:, :, None]).squeeze(2)
    return cosines.argmax(dim=1), cosines


def _means(rows: Tensor, owners: Tensor, count: int) -> Tensor:
    sums = torch.zeros(count, rows.shape[1], device=rows.device).index_add_(0, owners, rows)
    return functional.normalize(sums, dim=-1)


def _smallest_of_each(ids: Tensor, values: Tensor, classes: int) -> Tensor:
    """Per ID the index of its sample with the smallest value, (classes,)."""
    by_value = torch.argsort(values, stable=True)
    by_id = by_value[torch.argsort(ids[by_value], stable=True)]
    starts = torch.cumsum(torch.bincount(ids, minlength=classes), 0)
    return by_id[torch.cat([starts.new_zeros(1), starts[:-1]])]
