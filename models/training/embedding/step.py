"""One step of gradient descent, of either stage."""

import math

import torch
import torch.distributed as dist
from torch import Tensor, nn

from models.errors import TrainingError
from models.training.embedding.losses import matryoshka_info_nce
from models.training.embedding.ranks import Ranks, gather_rows, sum_gradients
from models.training.embedding.run_state import Batch, Run, StepRecord, autocast
from models.training.embedding.sharded_head import ShardedHead


def training_step(run: Run, batch: Batch, ranks: Ranks | None) -> StepRecord:
    """Move encoder and head one step down the stage's loss, and count it.

    Raises:
        TrainingError: the loss is not finite; the weights are then those before the step.
    """
    inputs, ids = batch
    recipe = run.recipe
    rate = recipe.rate(run.step, run.steps)
    for group in run.optimizer.param_groups:
        group["lr"] = group["peak"] * rate
    if run.negatives is not None and run.head is not None and run.negatives.due(run.step):
        run.negatives.refresh(run.head.prototypes())
    run.encoder.train()
    with autocast(run.encoder, recipe.mixed_precision):
        features = run.encoder.encode(inputs)
    loss = stage_loss(run, features, ids.to(features.device), ranks)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TrainingError(
            f"the loss is {value} at step {run.step + 1} of stage {run.stage}: lower the learning "
            "rate or the margin, or look for broken pictures in the batch"
        )
    run.optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    _clip_gradients(run, ranks)
    run.optimizer.step()
    margin = recipe.softmax(run.step).margin if run.stage == "identity" else 0.0
    run.step += 1
    return StepRecord(run.stage, run.step, run.steps, value, recipe.learning_rate * rate, margin)


def stage_loss(run: Run, features: Tensor, ids: Tensor, ranks: Ranks | None) -> Tensor:
    """The current stage's loss over the batch, over all ranks' batches where there are several."""
    recipe = run.recipe
    if run.head is not None:
        return run.head.identification_loss(features, ids, recipe.softmax(run.step), run.negatives)
    if ranks is not None:
        features, ids = gather_rows(features, ranks), gather_rows(ids, ranks)
    return matryoshka_info_nce(
        features,
        ids,
        prefixes=recipe.prefixes,
        weights=recipe.prefix_weights,
        temperature=recipe.temperature,
    )


def _clip_gradients(run: Run, ranks: Ranks | None) -> None:
    """Sum the encoder's gradients over ranks, and clip the joint norm with those of the head."""
    trained = [weight for weight in run.encoder.parameters() if weight.grad is not None]
    if ranks is not None:
        sum_gradients(trained)
    head = [] if run.head is None else list(run.head.parameters())
    square = _squared_norm(trained)
    of_head = _squared_norm(head)
    if isinstance(run.head, ShardedHead):
        dist.all_reduce(of_head)
    norm = torch.sqrt(square.to(of_head.device) + of_head)
    factor = torch.clamp(run.recipe.clip / (norm + 1e-6), max=1.0)
    for weight in [*trained, *head]:
        if weight.grad is not None:
            weight.grad.mul_(factor)


def _squared_norm(weights: list[nn.Parameter]) -> Tensor:
    squares = [weight.grad.float().square().sum() for weight in weights if weight.grad is not None]
    return torch.stack(squares).sum() if squares else torch.zeros(())
