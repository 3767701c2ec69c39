"""The image backbone: pictures in, patch features at several depths out.

EfficientNet-Lite (Tan and Le 2019, without squeeze-excite) is the default; any timm network with
local weights can take its place. Every feature map is average-pooled to the grid of the last one
(9 × 9 for lite2 at 260 px), so that a patch has one row over all depths.

On the CPU the network runs on ONNX Runtime, one picture at a time: the bytes of an item then never
depend on its neighbours in a batch, which replay needs. On CUDA it runs in torch, bf16 and
channels-last, in batches of one fixed shape, as a CUDA graph.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from models.arrays import Floats
from models.backbone.protocol import no_rows
from models.backbone.spec import Layout


class OnnxBackbone:
    """The network on ONNX Runtime, CPU."""

    def __init__(self, graph: Path, layout: Layout, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Spinning threads would steal the core from the other workers of the machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            str(graph), options, providers=["CPUExecutionProvider"]
        )
        self.layout = layout

    def patches(self, pictures: Floats) -> Floats:
        """See ``Backbone.patches``."""
        rows = [self._session.run(["patches"], {"picture": one[None]})[0] for one in pictures]
        return np.concatenate(rows) if rows else no_rows(self.layout)

    def trunks(self, pictures: Floats) -> tuple[Floats, Floats]:
        """See ``Backbone.trunks``; at least one picture."""
        both = [self._session.run(["patches", "trunk"], {"picture": one[None]}) for one in pictures]
        return np.concatenate([one[0] for one in both]), np.concatenate([one[1] for one in both])
