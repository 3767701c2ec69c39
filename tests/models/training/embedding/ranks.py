"""What each process of the sharding tests does; results go to disk for the test to compare."""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from itertools import chain
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor

from models.training.embedding.losses import MarginSoftmax
from models.training.embedding.prototype_head import PrototypeHead
from models.training.embedding.ranks import Ranks, joined_ranks
from models.training.embedding.run_state import Batch, StageName, StepRecord, TrainableEncoder
from models.training.embedding.sharded_head import ShardedHead
from models.training.embedding.sparse_negatives import SparseNegatives, Sparseness
from models.training.embedding.stages import Checkpointing, train
from tests.models.training.embedding.toy import Linear, batches, recipe, training_pass

CLASSES, CENTRES, WIDTH, ROWS = 13, 2, 8, 8
CASES = {
    "full": (MarginSoftmax(prefixes=(4, 8)), None),
    "smooth": (MarginSoftmax(prefixes=(4, 8), smoothing=0.1, concept_smoothing=0.2), None),
    "sparse": (
        MarginSoftmax(prefixes=(4, 8), smoothing=0.1, concept_smoothing=0.2),
        Sparseness(0.2, 0.1),
    ),
    "very sparse": (MarginSoftmax(prefixes=(8,)), Sparseness(0.01, 0.0)),
}
PLAN = recipe(3, 4, sub_centres=3, average=0.5, smoothing=0.1)
"""Small enough a batch for float noise not to grow under Adam."""


def whole_head() -> Tensor:
    return torch.randn(CLASSES, CENTRES, WIDTH, generator=torch.Generator().manual_seed(1))


def whole_batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(ROWS, WIDTH, generator=generator)
    return features, torch.tensor([0, 12, 3, 3, 7, 6, 1, 11])


def measured(head: PrototypeHead, rows: slice, case: str) -> dict[str, Tensor]:
    """Loss and gradients of these rows of the batch."""
    softmax, sparseness = CASES[case]
    features, ids = whole_batch()
    own = features[rows].requires_grad_()
    negatives = None
    if sparseness is not None:
        negatives = SparseNegatives(sparseness, CLASSES)
        negatives.refresh(head.prototypes())
    head.weight.grad = None
    head.concepts = torch.arange(CLASSES) % 5
    loss = head.identification_loss(own, ids[rows], softmax, negatives)
    torch.autograd.backward(loss)
    assert own.grad is not None
    assert head.weight.grad is not None
    return {
        f"{case}.loss": loss.detach(),
        f"{case}.features": own.grad,
        f"{case}.weight": head.weight.grad.clone(),
    }


def part_of(batch: Batch, ranks: Ranks | None) -> Batch:
    inputs, ids = batch
    if ranks is None:
        return batch
    start, stop = ranks.bounds(len(ids))
    return inputs[start:stop], ids[start:stop]


def ends(ranks: Ranks | None, folder: Path | None = None) -> dict[str, Tensor]:
    """Weights after all stages; with a folder the run is cut off once and resumed."""

    def shared(stage: StageName, start: int) -> Iterator[Batch]:
        return (part_of(batch, ranks) for batch in batches(stage, start))

    def stop(record: StepRecord) -> None:
        if record.stage == "identity" and record.step == 3:
            raise InterruptedError

    path = None if folder is None else folder / f"run-{ranks.rank if ranks else 0}.safetensors"
    checkpoint = None if path is None else Checkpointing(path, every=2)

    def validate(encoder: TrainableEncoder) -> float:
        return float(ranks.rank if ranks else 0)  # ranks that disagree must not part

    def go(encoder: Linear, *, cut: bool) -> dict[str, Tensor]:
        result = train(
            encoder,
            shared,
            PLAN,
            training_pass=training_pass,
            validate=validate,
            progress=stop if cut else lambda record: None,
            checkpoint=checkpoint,
        )
        assert result.head is not None
        return {
            "end.encoder": result.encoder.state_dict()["linear.weight"],
            "end.prototypes": result.head.prototypes(),
            "end.losses": torch.tensor([one.loss for one in result.history]),
        }

    if checkpoint is not None:
        with suppress(InterruptedError):
            go(Linear(), cut=True)
    return go(Linear(), cut=False)


def process(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=200),
    )
    ranks = joined_ranks()
    assert ranks == Ranks(rank, world)
    start, stop = ranks.bounds(ROWS)
    results = chain.from_iterable(
        measured(ShardedHead.slice_of(whole_head(), ranks), slice(start, stop), case).items()
        for case in CASES
    )
    tensors = dict(results) | ends(ranks, Path(folder))
    save_file(
        {name: value.detach().contiguous() for name, value in tensors.items()},
        f"{folder}/rank{rank}.safetensors",
    )
    dist.destroy_process_group()


if __name__ == "__main__":
    process(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
    # Autograd's threads can wait for Python still; an interpreter that ends under them aborts.
    sys.stdout.flush()
    os._exit(0)
