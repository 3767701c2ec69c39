"""Checkpoints of a training run, from which it resumes with bit-identical results.

One safetensors file: the tensors of encoder, head, optimizer, average, best weights, neighbour
graph and random generators, and in its header JSON with the counters, the history, the recipe and
what else has no tensor. No pickle. The learning rate and the margin follow from the step, and
bfloat16 needs no gradient scaler, so neither has state. The file is replaced in one atomic step,
so that there is always one whole checkpoint.
"""

import random
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch
from torch import Tensor

from models.errors import TrainingError, WeightsError
from models.training.embedding.run_state import Run, StepRecord
from models.weights.files import read_weights, write_tensors

FORMAT = 1


def save_run(run: Run, path: Path) -> None:
    """Write the run to ``path`` in one atomic step."""
    tensors = {f"encoder.{name}": value for name, value in run.encoder.state_dict().items()}
    if run.head is not None:
        tensors["head"] = run.head.weight
    if run.negatives is not None and run.negatives.graph is not None:
        tensors["graph"] = run.negatives.graph
    for number, state in run.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": value for name, value in state.items()}
    tensors |= {f"average.{name}": value for name, value in (run.average or {}).items()}
    tensors |= {f"best.{name}": value for name, value in (run.best or {}).items()}
    generators, card = _random_state()
    card |= {
        "format": FORMAT,
        "recipe": asdict(run.recipe),
        "stage": run.stage,
        "step": run.step,
        "stale": run.stale,
        "best_score": run.best_score,
        "classes": run.head.classes if run.head is not None else None,
        "history": [asdict(record) for record in run.history],
    }
    arrays = {name: value.detach().cpu().numpy() for name, value in (tensors | generators).items()}
    write_tensors(path, arrays, card)


def load_run(run: Run, path: Path, attach: Callable[[Tensor, int], None]) -> None:
    """Restore a fresh run to the state of a checkpoint, random generators included.

    ``attach`` gets the saved head rows (this rank's, where it is sharded) and U, and gives the run
    its head, negatives and optimizer.

    Raises:
        TrainingError: unreadable, of another recipe, or of another network.
    """
    advice = "remove it to start anew, or give the run another path"
    try:
        arrays, card = read_weights(path)
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        if card["format"] != FORMAT:
            raise TrainingError(f"{path} was written by another version: {advice}")
        if card["recipe"] != orjson.loads(orjson.dumps(asdict(run.recipe))):
            raise TrainingError(f"{path} is of a run with another recipe: {advice}")
        run.encoder.load_state_dict(_with_prefix(tensors, "encoder."))
        if "head" in tensors:
            attach(tensors["head"], card["classes"])
        _restore_optimizer(run, _with_prefix(tensors, "optimizer."))
        _restore_counters(run, card)
        device = next(run.encoder.parameters()).device
        run.average = _to_device(device, _with_prefix(tensors, "average.")) or None
        run.best = _to_device(device, _with_prefix(tensors, "best.")) or None
        if run.negatives is not None and "graph" in tensors:
            run.negatives.graph = tensors["graph"].to(device)
        _restore_random(tensors, card)
    except (OSError, WeightsError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise TrainingError(f"{path} cannot be resumed ({error}): {advice}") from error


def _restore_counters(run: Run, card: dict[str, Any]) -> None:
    run.stage, run.step, run.stale = card["stage"], card["step"], card["stale"]
    run.best_score = card["best_score"]
    run.history = [StepRecord(**record) for record in card["history"]]


def _restore_optimizer(run: Run, tensors: dict[str, Tensor]) -> None:
    states: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        states.setdefault(int(number), {})[name] = value
    # Groups follow from the recipe; only what was accumulated is read.
    groups = run.optimizer.state_dict()["param_groups"]
    run.optimizer.load_state_dict({"state": states, "param_groups": groups})


def _random_state() -> tuple[dict[str, Tensor], dict[str, Any]]:
    version, words, gauss = random.getstate()
    of_numpy: dict[str, Any] = dict(np.random.get_state(legacy=False))
    words_of_numpy = of_numpy["state"]["key"].copy()
    tensors = {
        "random.torch": torch.get_rng_state(),
        "random.numpy": torch.from_numpy(words_of_numpy),
    }
    if torch.cuda.is_available():
        for number, state in enumerate(torch.cuda.get_rng_state_all()):
            tensors[f"random.cuda.{number}"] = state
    return tensors, {
        "python": [version, list(words), gauss],
        "numpy": {**of_numpy, "state": int(of_numpy["state"]["pos"])},
    }


def _restore_random(tensors: dict[str, Tensor], card: dict[str, Any]) -> None:
    version, words, gauss = card["python"]
    random.setstate((version, tuple(words), gauss))
    words_of_numpy = {"key": tensors["random.numpy"].numpy(), "pos": card["numpy"]["state"]}
    np.random.set_state({**card["numpy"], "state": words_of_numpy})
    torch.set_rng_state(tensors["random.torch"])
    for key, state in _with_prefix(tensors, "random.cuda.").items():
        if int(key) < torch.cuda.device_count():
            torch.cuda.set_rng_state(state, int(key))


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _to_device(device: torch.device, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.to(device) for name, value in tensors.items()}
