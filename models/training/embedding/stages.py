"""The three stages: contrast, prototypes from centroids, identification (Pailitao-VL §4).

Stage 1 pulls the views of one ID together and apart from the rest of the batch. Stage 2 embeds the
training set and lays each ID's centroids down as the rows of a classification head. Stage 3 trains
encoder and head to recognise every picture's ID among all of them.

`train` runs what the recipe asks for; with a checkpoint path it goes on where a run was cut off and
ends with the same weights, bit for bit, as if it had not been.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from models.errors import TrainingError
from models.training.embedding.checkpoint import load_run, save_run
from models.training.embedding.model_selection import (
    Validate,
    load_best,
    update_average,
    validate_if_due,
)
from models.training.embedding.prototype_head import PrototypeHead, centroids_of_ids
from models.training.embedding.ranks import Ranks, gather_rows, joined_ranks
from models.training.embedding.recipe import Recipe
from models.training.embedding.run_state import (
    Batch,
    Run,
    StageName,
    StepRecord,
    TrainableEncoder,
    autocast,
    device_of,
    make_optimizer,
)
from models.training.embedding.sharded_head import ShardedHead
from models.training.embedding.sparse_negatives import SparseNegatives
from models.training.embedding.step import training_step

TrainingPass = Callable[[], Iterable[Batch]]
"""One pass over the training set, every ID at least once, the same each time."""


class Batches(Protocol):
    """Training batches of a stage, without end, from one of its steps on.

    The batch of a step must not depend on where one starts: that is what makes resuming exact.
    Contrast wants two views or more of each ID.
    """

    def __call__(self, stage: StageName, start: int) -> Iterator[Batch]:
        """Batches of steps ``start``, ``start`` + 1, … (from 0)."""


@dataclass(frozen=True)
class Checkpointing:
    """Where a run is saved, and how often; each rank needs a path of its own."""

    path: Path
    every: int = 200


@dataclass(frozen=True, eq=False)
class Trained:
    """What a run ended with. The encoder is the one that was given, with its best weights."""

    encoder: TrainableEncoder
    head: PrototypeHead | None
    history: list[StepRecord]


def train(
    encoder: TrainableEncoder,
    batches: Batches,
    recipe: Recipe,
    *,
    training_pass: TrainingPass | None = None,
    concepts: Tensor | None = None,
    validate: Validate | None = None,
    progress: Callable[[StepRecord], None] = lambda record: None,
    checkpoint: Checkpointing | None = None,
) -> Trained:
    """Train the encoder in place.

    In a process group (`torch.distributed`) the encoder must start the same on all ranks, each rank
    brings its own batches of one size, and the head is sharded.

    Args:
        encoder: on the device that it is to be trained on.
        batches: see `Batches`.
        recipe: what is run, and how.
        training_pass: the training set for stage 2; required by ``identity_steps``.
        concepts: the number of each ID's concept, (U,), for the recipe's ``concept_smoothing``;
        none without.
        validate: asked every ``recipe.validate_every`` steps and at the end of each stage; the
            stage then ends with its best weights.
        progress: called after each step. What it raises ends the run.
        checkpoint: where to save; a file that is there is resumed.

    Raises:
        TrainingError: the batches end early, or do not fit; the loss is not finite; the checkpoint
            is of another recipe, or damaged.
    """
    if recipe.identity_steps and training_pass is None:
        raise TrainingError("identification needs the training set that its prototypes come from")
    ranks = joined_ranks()
    run = _start_run(encoder, recipe, ranks, checkpoint, concepts)
    while True:
        _run_stage(run, batches, ranks, validate, progress, checkpoint)
        load_best(run)
        if run.stage == "identity" or not recipe.identity_steps or training_pass is None:
            return Trained(encoder, run.head, run.history)
        start_identification(run, training_pass, ranks)


def start_identification(run: Run, training_pass: TrainingPass, ranks: Ranks | None) -> None:
    """Stage 2: a head whose rows are the centroids of the IDs' embeddings, and a new optimizer."""
    embeddings, ids = embed(
        run.encoder, training_pass(), mixed_precision=run.recipe.mixed_precision
    )
    classes = int(ids.max()) + 1
    weight = centroids_of_ids(embeddings, ids, classes, run.recipe.sub_centres)
    _attach_head(
        run, PrototypeHead(weight) if ranks is None else ShardedHead.slice_of(weight, ranks)
    )
    run.stage, run.step, run.stale = "identity", 0, 0
    run.best = run.best_score = run.average = None


@torch.no_grad()
def embed(
    encoder: TrainableEncoder, batches: Iterable[Batch], *, mixed_precision: bool = True
) -> tuple[Tensor, Tensor]:
    """Vectors (n, D), float32 on the CPU, and IDs (n,) of all batches, in eval mode.

    Raises:
        TrainingError: there is no batch.
    """
    was_training = encoder.training
    encoder.eval()
    rows, ids = [], []
    for inputs, numbers in batches:
        with autocast(encoder, mixed_precision):
            rows.append(encoder.encode(inputs).float().cpu())
        ids.append(numbers.cpu())
    encoder.train(was_training)
    if not rows:
        raise TrainingError("the training set is empty: nothing to embed")
    return torch.cat(rows), torch.cat(ids)


def _run_stage(
    run: Run,
    batches: Batches,
    ranks: Ranks | None,
    validate: Validate | None,
    progress: Callable[[StepRecord], None],
    checkpoint: Checkpointing | None,
) -> None:
    stage_batches = batches(run.stage, run.step)
    while not run.finished:
        batch = next(stage_batches, None)
        if batch is None:
            raise TrainingError(
                f"the batches of stage {run.stage} ended at step {run.step} of {run.steps}: "
                "let them go on, or ask for fewer steps"
            )
        record = training_step(run, batch, ranks)
        update_average(run)
        record = replace(record, score=validate_if_due(run, validate, ranks))
        run.history.append(record)
        if checkpoint and (run.finished or run.step % checkpoint.every == 0):
            save_run(run, checkpoint.path)
        progress(record)


def _start_run(
    encoder: TrainableEncoder,
    recipe: Recipe,
    ranks: Ranks | None,
    checkpoint: Checkpointing | None,
    concepts: Tensor | None,
) -> Run:
    """A run at its first step, or where its checkpoint left off."""
    run = Run(encoder, recipe, make_optimizer(encoder, None, recipe), "contrast", concepts=concepts)
    if checkpoint and checkpoint.path.exists():

        def attach(rows: Tensor, classes: int) -> None:
            _attach_head(
                run, PrototypeHead(rows) if ranks is None else ShardedHead(rows, classes, ranks)
            )

        load_run(run, checkpoint.path, attach)
    if ranks is not None:
        _check_same_step(run, ranks)
    return run


def _check_same_step(run: Run, ranks: Ranks) -> None:
    """Raise TrainingError unless the checkpoints of all ranks are of one step."""
    place = torch.tensor([[run.stage == "identity", run.step]], device=device_of(run.encoder))
    places = gather_rows(place, ranks)
    if bool((places != places[0]).any()):
        raise TrainingError(
            "the run was cut off while its checkpoints were written, and they are of different "
            "steps: remove them to start anew"
        )


def _attach_head(run: Run, head: PrototypeHead) -> None:
    """Give the run a head, an optimizer that knows it, and its sparse negatives if it needs any."""
    recipe = run.recipe
    run.head = head.to(device_of(run.encoder))
    if run.concepts is not None:
        head.concepts = run.concepts.to(head.weight.device)
    run.optimizer = make_optimizer(run.encoder, head, recipe)
    if head.classes > recipe.full_up_to:
        run.negatives = SparseNegatives(recipe.sparseness, head.classes, recipe.seed)
