"""The picture tower with weights of 8 bits: less than half the time where layers are matrices.

Weights are rounded by column once; what goes into a layer is rounded when it runs, so that nothing
has to be fitted on pictures. Convolutions stay as they are (decision 31 in docs/decisions).
"""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from models.errors import WeightsError

LAYERS = ["MatMul", "Gemm"]


def quantise(graph: Path, to: Path) -> None:
    """Write the ``graph`` of a picture tower in 8 bits, in one atomic step.

    Raises:
        WeightsError: it has no layer to make smaller, or the file cannot be written.
    """
    model = onnx.load(graph)
    del model.graph.value_info[:]  # shapes of layers as they were, which no longer hold
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it advises a step that is of use for convolutions
    try:
        with tempfile.TemporaryDirectory(dir=to.parent, prefix=".int8-") as scratch:
            written = Path(scratch) / to.name
            quantize_dynamic(
                model,
                written,
                op_types_to_quantize=LAYERS,
                per_channel=True,
                # 7 bits of 8: sums of more overflow in processors without VNNI, and vectors would
                # depend on the machine.
                reduce_range=True,
                weight_type=QuantType.QInt8,
                extra_options={"MatMulConstBOnly": True},
            )
            if not any("Integer" in node.op_type for node in onnx.load(written).graph.node):
                raise WeightsError(
                    f"the network in {graph.parent} has no layer that weights of 8 bits make "
                    "quicker: leave out +int8"
                )
            os.replace(written, to)
    except OSError as error:
        raise WeightsError(f"{to} cannot be written ({error}): make its folder writable") from error
    finally:
        logging.disable(before)
