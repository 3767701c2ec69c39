"""The head sharded over several processes: data parallel encoder, tensor parallel head.

Each rank encodes its own batch and holds the prototypes of a range of IDs (Pailitao-VL §4). The
features of all ranks are gathered, each rank compares all of them with its slice, and the softmax
is computed from the slices' largest logits and sums. Every rank then has the loss over the whole
batch. Backward, a rank has the gradient of the gathered features through its slice only, so these
are summed over ranks; those of the slice are complete; those of the encoder are summed by
`ranks.sum_gradients`. The batches of all ranks must be of one size.
"""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional

from models.errors import TrainingError
from models.training.embedding.losses import MarginSoftmax, add_angular_margin, log_weights
from models.training.embedding.prototype_head import PrototypeHead
from models.training.embedding.ranks import Ranks, gather_rows, sum_over_ranks
from models.training.embedding.sparse_negatives import SparseNegatives


class ShardedHead(PrototypeHead):
    """One rank's slice of a head: rows (u, K, D) of the IDs ``start`` to ``stop`` of U."""

    def __init__(self, rows: Tensor, classes: int, ranks: Ranks) -> None:
        self.start, self.stop = ranks.bounds(classes)
        if classes < ranks.world or len(rows) != self.stop - self.start:
            raise TrainingError(
                f"{len(rows)} of {classes} prototypes on rank {ranks.rank} of {ranks.world}: "
                f"this rank must hold {self.stop - self.start}, and each at least one"
            )
        super().__init__(rows)
        self.ranks = ranks
        self._whole = classes

    @classmethod
    def slice_of(cls, weight: Tensor, ranks: Ranks) -> "ShardedHead":
        """This rank's part of the whole weight (U, K, D)."""
        start, stop = ranks.bounds(len(weight))
        return cls(weight[start:stop], len(weight), ranks)

    @property
    def classes(self) -> int:
        """U over all ranks."""
        return self._whole

    def identification_loss(
        self,
        features: Tensor,
        ids: Tensor,
        softmax: MarginSoftmax,
        negatives: SparseNegatives | None = None,
    ) -> Tensor:
        """The loss of stage 3 over the batches of all ranks; the same number on each.

        Args:
            features: this rank's, (n, D), n the same on all ranks.
            ids: this rank's, (n,).
            softmax: as on all ranks.
            negatives: with the same graph, seed and step on all ranks.
        """
        all_features = gather_rows(features, self.ranks, partial=True)
        targets = gather_rows(ids, self.ranks)
        columns, weights = self._columns(targets, negatives)
        in_slice = (targets >= self.start) & (targets < self.stop)
        own = targets - self.start
        if columns is not None:
            own = torch.searchsorted(columns, own).clamp(max=len(columns) - 1)
        own = torch.where(in_slice, own, 0)
        same_concept = None
        if self.concepts is not None and softmax.concept_smoothing:
            concepts = self.concepts[self.start : self.stop]
            concepts = concepts if columns is None else concepts[columns]
            same_concept = self.concepts[targets][:, None] == concepts
        total = features.new_zeros((), dtype=torch.float32)
        for prefix, weight in softmax.terms():
            cosines = self(all_features, prefix, columns)
            total = total + weight * sharded_arcface(
                cosines, own, in_slice, softmax, weights, same_concept
            )
        return total

    def _columns(
        self, targets: Tensor, negatives: SparseNegatives | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """What `SparseNegatives.select` gives within this slice, counted from its start."""
        if negatives is None:
            return None, None
        columns, weights = negatives.select(targets)
        if columns is None:
            return None, weights[:, self.start : self.stop]
        here = (columns >= self.start) & (columns < self.stop)
        if not here.any():  # one column of weight 0 keeps the shapes simple
            return columns.new_zeros(1), weights.new_zeros(len(targets), 1)
        return columns[here] - self.start, weights[:, here]

    @torch.no_grad()
    def prototypes(self) -> Tensor:
        """One unit vector per ID over all ranks, (U, D)."""
        own = super().prototypes()
        longest = -(-self._whole // self.ranks.world)
        padded = functional.pad(own, (0, 0, 0, longest - len(own)))
        parts = gather_rows(padded, self.ranks).view(self.ranks.world, longest, -1)
        lengths = [Ranks(rank, self.ranks.world).bounds(self._whole) for rank in range(len(parts))]
        return torch.cat(
            [part[: stop - start] for part, (start, stop) in zip(parts, lengths, strict=True)]
        )


def sharded_arcface(
    cosines: Tensor,
    own: Tensor,
    in_slice: Tensor,
    softmax: MarginSoftmax,
    weights: Tensor | None = None,
    same_concept: Tensor | None = None,
) -> Tensor:
    """`losses.arcface` with the classes spread over ranks; the same value on each.

    Args:
        cosines: of all rows to this rank's classes, (n, u).
        own: the column of each row's own class where ``in_slice``, 0 elsewhere, (n,).
        in_slice: True where the row's own class lies in this slice, (n,).
        softmax: scale, margin and what is smoothed.
        weights: how many classes each of this slice stands for in a row's sums, (n, u); 1 by
            default.
        same_concept: True where a class of this slice is of the concept of a row's own, (n, u).
    """
    own = own[:, None]
    plain = cosines.gather(1, own)
    with_margin = torch.where(in_slice[:, None], add_angular_margin(plain, softmax.margin), plain)
    logits = softmax.scale * cosines.scatter(1, own, with_margin)
    weighted = logits if weights is None else logits + log_weights(weights)
    largest = weighted.detach().amax(dim=1)
    dist.all_reduce(largest, op=dist.ReduceOp.MAX)
    sums = torch.exp(weighted - largest[:, None]).sum(dim=1)
    target = logits.gather(1, own).squeeze(1) * in_slice
    of_all = torch.ones_like(logits) if weights is None else weights
    concept_smoothing = 0.0 if same_concept is None else softmax.concept_smoothing
    of_concept = torch.zeros_like(logits) if same_concept is None else same_concept * of_all
    parts = [sums, target]
    for chosen in (of_all, of_concept):
        parts += [(logits * chosen).sum(dim=1), chosen.sum(dim=1).to(sums.dtype)]
    summed = sum_over_ranks(torch.stack(parts))
    total, target, sum_all, count_all, sum_concept, count_concept = summed.unbind()
    smoothed = (1 - softmax.smoothing - concept_smoothing) * target
    smoothed = smoothed + softmax.smoothing * sum_all / count_all
    smoothed = smoothed + concept_smoothing * sum_concept / count_concept.clamp(min=1)
    loss: Tensor = (torch.log(total) + largest - smoothed).mean()
    return loss
