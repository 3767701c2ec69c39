"""Torch networks as ONNX programs: what every export of ours has in common."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from onnxscript import optimizer
from torch import Tensor, nn

from models.errors import WeightsError


def trace(
    network: nn.Module,
    examples: Sequence[Tensor],
    inputs: Sequence[str],
    outputs: Sequence[str],
    *,
    dynamic_shapes: Any = None,
) -> Any:
    """The model (`onnx_ir.Model`) of a network, constants folded, layers not fused.

    Args:
        network: in evaluation mode.
        examples: one tensor for each input.
        inputs, outputs: their names.
        dynamic_shapes: which axes are free, as `torch.onnx.export` takes them.

    Raises:
        WeightsError: the exporter gave nothing.
    """
    for library in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(library).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about its own internals
        program: Any = torch.onnx.export(
            network,
            tuple(examples),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=dynamic_shapes,
            dynamo=True,
            verbose=False,
            optimize=False,
        )
        if program is None:
            raise WeightsError("the ONNX exporter returned no graph; is onnxscript installed?")
        optimizer.inline(program.model)
        optimizer.fold_constants(program.model)
        optimizer.remove_unused_nodes(program.model)
    return program.model
