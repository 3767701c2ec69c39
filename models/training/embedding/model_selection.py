"""Which weights a stage ends with: the best that validation saw, or their moving average."""

from collections.abc import Callable

import torch

from models.training.embedding.ranks import Ranks, agree
from models.training.embedding.run_state import Encoder, Run, device_of

Validate = Callable[[Encoder], float]
"""How good the encoder is, in eval mode and without gradients; higher is better."""


def follow(run: Run) -> None:
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


def validated(run: Run, validate: Validate | None, ranks: Ranks | None) -> float | None:
    """Validate if it is due, and keep the weights if they are the stage's best."""
    due = run.step % run.recipe.validate_every == 0 or run.step == run.steps
    if validate is None or not due:
        return None
    own = {name: value.detach().clone() for name, value in run.encoder.state_dict().items()}
    judged = run.average or own
    run.encoder.load_state_dict(judged)
    run.encoder.eval()
    score = 0.0
    if ranks is None or not ranks.rank:
        with torch.no_grad():
            score = float(validate(run.encoder))
    if ranks is not None:
        score = agree(score, device_of(run.encoder))
    if run.best_score is None or score > run.best_score:
        run.best_score, run.stale = score, 0
        run.best = {f"encoder.{name}": value.clone() for name, value in judged.items()}
        if run.head is not None:
            run.best["head"] = run.head.weight.detach().clone()
    else:
        run.stale += 1
    run.encoder.load_state_dict(own)
    return score


@torch.no_grad()
def settle(run: Run) -> None:
    """Give the encoder the weights that the stage ends with: its best, or its average."""
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
