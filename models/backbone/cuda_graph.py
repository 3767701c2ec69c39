"""A network's kernels recorded once and replayed: at serving's batch sizes, launching them one by
one takes a GPU longer than running them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

WARM_UP = 3
"""Runs before recording, in which cuDNN chooses its kernels and memory is laid out."""


def recorded(network: nn.Module, example: Tensor) -> Callable[[Tensor], Any]:
    """The network as a CUDA graph for batches like ``example`` in shape and type; itself on a CPU.

    What it returns is written over by the next call, so a caller copies it first, and lets no other
    thread call meanwhile. See "CUDA Graphs" in PyTorch's notes on CUDA semantics.
    """
    if example.device.type != "cuda":
        return network
    given = example.clone()
    aside: torch.cuda.Stream = torch.cuda.Stream(example.device)  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream(example.device))
    with torch.inference_mode(), torch.cuda.stream(aside):
        for _ in range(WARM_UP):
            network(given)
    torch.cuda.current_stream(example.device).wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode(), torch.cuda.graph(graph):
        made = network(given)

    def replay(batch: Tensor) -> Any:
        given.copy_(batch)
        graph.replay()
        return made

    return replay
