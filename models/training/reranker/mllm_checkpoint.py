"""Checkpoints of training a vision-language reranker: weights, optimizer, and how far it is.

One safetensors file, replaced in one step. Order and learning rate follow from the step, so that a
run that goes on ends with the same weights as one that was never interrupted.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import torch
from torch import Tensor, nn

from models.errors import TrainingError, WeightsError
from models.weights.files import read_weights, write_tensors

FORMAT = 1
MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def save_checkpoint(
    path: Path,
    trained: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    recipe: Mapping[str, object],
    step: int,
    losses: list[float],
) -> None:
    """Write `step` steps done; `losses` are those of each."""
    tensors: dict[str, Any] = {}
    for name, parameter in trained.items():
        tensors[f"weight.{name}"] = parameter.detach().cpu().numpy()
        for moment in MOMENTS:
            if moment in (state := optimizer.state.get(parameter, {})):
                tensors[f"{moment}.{name}"] = state[moment].detach().cpu().numpy()
    card = {"format": FORMAT, "recipe": dict(recipe), "step": step, "losses": losses}
    write_tensors(path, tensors, card)


def load_checkpoint(
    path: Path,
    trained: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    recipe: Mapping[str, object],
) -> tuple[int, list[float]]:
    """Steps done, and the loss of each; 0 and none where there is no checkpoint.

    Raises:
        TrainingError: it cannot be read, or is of another recipe.
    """
    if not path.is_file():
        return 0, []
    advice = "remove it to start anew, or write to another --out"
    try:
        arrays, card = read_weights(path)
        if card["format"] != FORMAT or card["recipe"] != orjson.loads(orjson.dumps(recipe)):
            raise TrainingError(f"{path} is of a run with other options: {advice}")
        for name, parameter in trained.items():
            with torch.no_grad():
                parameter.copy_(torch.from_numpy(arrays[f"weight.{name}"]))
            optimizer.state[parameter] = {
                moment: _restored(moment, torch.from_numpy(arrays[f"{moment}.{name}"]), parameter)
                for moment in MOMENTS
                if f"{moment}.{name}" in arrays
            }
        return int(card["step"]), [float(one) for one in card["losses"]]
    except (OSError, WeightsError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise TrainingError(f"{path} cannot be resumed ({error}): {advice}") from error


def _restored(moment: str, value: Tensor, parameter: Tensor) -> Tensor:
    """The count of steps stays on the CPU, where the optimizer keeps it."""
    return value.clone() if moment == "step" else value.to(parameter.device)
