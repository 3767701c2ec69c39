"""Model selection: a stage ends with the best validated weights, or with their moving average."""

from collections.abc import Callable

import torch

from models.training.embedding.ranks import Ranks, broadcast_value
from models.training.embedding.run_state import Run, TrainableEncoder, device_of

Validate = Callable[[TrainableEncoder], float]
"""How good the encoder is, in eval mode and without gradients; higher is better."""


def update_average(run: Run) -> None:
    """Move the average towards the encoder's weights; buffers and counters are copied."""
    decay = run.recipe.average
    if not decay:
        return
    current = run.encoder.state_dict()
    if run.average is None:
        run.average = {name: value.detach().clone() for name, value in current.items()}
    for name, value in current.items():
        if value.is_floating_point():
            run.average[name].lerp_(value.detach(), 1 - decay)
        else:
            run.average[name].copy_(value)


def validate_if_due(run: Run, validate: Validate | None, ranks: Ranks | None) -> float | None:
    """Validate if it is due, and keep the weights if they are the stage's best; the score.

    Of several ranks the first validates, so that all stop at the same step.
    """
    due = run.step % run.recipe.validate_every == 0 or run.step == run.steps
    if validate is None or not due:
        return None
    own = {name: value.detach().clone() for name, value in run.encoder.state_dict().items()}
    candidate = run.average or own
    run.encoder.load_state_dict(candidate)
    run.encoder.eval()
    score = 0.0
    if ranks is None or not ranks.rank:
        with torch.no_grad():
            score = float(validate(run.encoder))
    if ranks is not None:
        score = broadcast_value(score, device_of(run.encoder))
    if run.best_score is None or score > run.best_score:
        run.best_score, run.stale = score, 0
        run.best = {f"encoder.{name}": value.clone() for name, value in candidate.items()}
        if run.head is not None:
            run.best["head"] = run.head.weight.detach().clone()
    else:
        run.stale += 1
    run.encoder.load_state_dict(own)
    return score


@torch.no_grad()
def load_best(run: Run) -> None:
    """Load the stage's best weights into encoder and head, or the average where none are best."""
    if run.best is not None:
        prefix = "encoder."
        run.encoder.load_state_dict(
            {
                name.removeprefix(prefix): value
                for name, value in run.best.items()
                if name.startswith(prefix)
            }
        )
        if run.head is not None:
            run.head.weight.copy_(run.best["head"])
    elif run.average is not None:
        run.encoder.load_state_dict(run.average)
    run.encoder.eval()
