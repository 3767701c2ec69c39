"""Distributed training: joining a process group, and its collective operations.

Started by ``lookstream train embedding --ranks N`` or, on several machines, by ``torchrun``.
Collectives only, hence the same on gloo (CPUs) and NCCL (GPUs).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

LONGEST_WAIT = timedelta(days=1)
"""For other ranks. Rank 0 makes the views of all pictures while the others wait, which takes hours
for a large catalog; if one fails, whoever started them ends the others, whatever this is."""


@dataclass(frozen=True)
class Ranks:
    """This process's place among ``world`` processes of the default process group."""

    rank: int
    world: int

    def bounds(self, count: int) -> tuple[int, int]:
        """The range of ``count`` things that this rank holds; ranges differ by one at most."""
        return count * self.rank // self.world, count * (self.rank + 1) // self.world

    def equal_share(self, count: int) -> slice:
        """This rank's of ``count`` things in equal shares; a remainder is left out."""
        each = count // self.world
        return slice(self.rank * each, (self.rank + 1) * each)


def joined_ranks() -> Ranks | None:
    """This process's place in the default process group; None where there is none."""
    if not (dist.is_available() and dist.is_initialized()):
        return None
    return Ranks(dist.get_rank(), dist.get_world_size())


def started_as_rank() -> bool:
    """Whether this process was started as one of several, by the variables that torchrun sets."""
    return {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys()


@contextmanager
def process_group(device: str) -> Iterator[tuple[Ranks | None, str]]:
    """Join the processes that were started as ranks, for the time of the block.

    Yields this process's place, None where it was started alone, and the device it trains on: with
    "cuda" each process of a machine has a GPU of its own.
    """
    if not started_as_rank():
        yield None, device
        return
    if device == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    dist.init_process_group("gloo" if device == "cpu" else "nccl", timeout=LONGEST_WAIT)
    try:
        yield joined_ranks(), device
    finally:
        dist.destroy_process_group()


@contextmanager
def first_rank_first(ranks: Ranks | None) -> Iterator[None]:
    """Let rank 0 through the block alone, and the others after it, who find its files there."""
    if ranks is not None and ranks.rank:
        dist.barrier()
    yield
    if ranks is not None and not ranks.rank:
        dist.barrier()


def gather_rows(rows: Tensor, ranks: Ranks, *, partial: bool = False) -> Tensor:
    """The rows of all ranks, in order of rank: (world · n, ...).

    ``partial`` says that what follows differs by rank, so that gradients must be summed over ranks;
    otherwise each rank computes the same from the rows and has their whole gradient.
    """
    gathered: Tensor = _GatherRows.apply(rows, ranks, partial)
    return gathered


def sum_over_ranks(values: Tensor) -> Tensor:
    """The sum over ranks of values from which all ranks derive the same loss."""
    summed: Tensor = _SumOverRanks.apply(values)
    return summed


def sum_gradients(parameters: list[nn.Parameter]) -> None:
    """Sum the gradients of replicated parameters over ranks, in place, in one collective."""
    held = [parameter for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([parameter.grad.flatten() for parameter in held if parameter.grad is not None])
    dist.all_reduce(flat)
    lengths = [parameter.numel() for parameter in held]
    for parameter, summed in zip(held, torch.split(flat, lengths), strict=True):
        parameter.grad = summed.view_as(parameter)


def broadcast_weights(module: nn.Module) -> None:
    """Give all ranks the weights and buffers of rank 0."""
    for value in module.state_dict().values():
        dist.broadcast(value, 0)


def broadcast_value(value: float, device: torch.device) -> float:
    """Rank 0's value, on all ranks."""
    agreed = torch.tensor([value], dtype=torch.float64, device=device)
    dist.broadcast(agreed, 0)
    return float(agreed)


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, ranks: Ranks, partial: bool) -> Tensor:
        ctx.ranks, ctx.partial, ctx.count = ranks, partial, len(rows)
        parts = [torch.empty_like(rows) for _ in range(ranks.world)]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        whole = gradients[0].contiguous()
        if ctx.partial:
            dist.all_reduce(whole)
        start = ctx.ranks.rank * ctx.count
        return whole[start : start + ctx.count], None, None


class _SumOverRanks(torch.autograd.Function):
    """Sums forward. Backward each rank keeps its own: all of them derive the same loss."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        summed = values.clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]
