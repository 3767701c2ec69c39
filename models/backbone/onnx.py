"""The image backbone on ONNX Runtime: pictures in, patch features at several depths out.

EfficientNet-Lite (Tan and Le 2019, without squeeze-excite) is the default; any timm network with
local weights can take its place. Every feature map is average-pooled to the grid of the last one
(9 × 9 for lite2 at 260 px), so that a patch has one row over all depths.

The network runs on one picture at a time: the bytes of an item then never depend on its neighbours
in a batch, which replay needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from models.arrays import Floats
from models.backbone import exported
from models.backbone.protocol import no_rows
from models.errors import WeightsError


class OnnxBackbone:
    """An exported network on the CPU, with the identity branch of an encoder's file or without.

    Raises:
        WeightsError: a file is missing or damaged, or the identity branch is of another network.
    """

    def __init__(self, folder: Path, identity_branch: Path | None = None, threads: int = 1) -> None:
        card = exported.read_card(folder)
        weights = exported.network_weights(folder)
        self.layout = exported.layout_of(card, weights, identity=identity_branch is not None)
        self._network = session(
            folder / exported.NETWORK_GRAPH, weights, card.network_weights, threads
        )
        self._branch = None
        if identity_branch is not None:
            tensors = exported.branch_weights(identity_branch)
            missing = set(card.branch_weights) - set(tensors)
            if missing or not card.identity_width:
                raise WeightsError(
                    f"the identity branch in {identity_branch} does not fit this backbone"
                )
            self._branch = session(
                folder / exported.BRANCH_GRAPH, tensors, card.branch_weights, threads
            )

    def patches(self, pictures: Floats) -> Floats:
        """See ``Backbone.patches``."""
        rows = [self._run(picture)[0] for picture in pictures]
        return np.concatenate(rows) if rows else no_rows(self.layout)

    def trunks(self, pictures: Floats) -> tuple[Floats, Floats]:
        """See ``Backbone.trunks``; at least one picture."""
        both = [self._run(picture) for picture in pictures]
        return np.concatenate([rows for rows, _ in both]), np.concatenate(
            [map_ for _, map_ in both]
        )

    def _run(self, picture: Floats) -> tuple[Floats, Floats]:
        """Patch rows (1, patches, c) and the shallowest map (1, c, h, w) of one picture."""
        rows, trunk = self._network.run(["patches", "trunk"], {"picture": picture[None]})
        if self._branch is not None:
            identity = self._branch.run(["patches"], {"trunk": trunk})[0]
            rows = np.concatenate([rows, identity], axis=2)
        return rows, trunk


def session(
    graph: Path, weights: Mapping[str, Floats], names: Sequence[str], threads: int
) -> onnxruntime.InferenceSession:
    """A graph without weights, and the weights that it names, as one session.

    Raises:
        WeightsError: the graph cannot be read, or a weight has another shape than it wants.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads would steal the core from the other workers of the machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The values are read while the session is made, and not after.
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(weights[name]) for name in names]
    options.add_external_initializers(list(names), values)
    try:
        return onnxruntime.InferenceSession(
            graph.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
    except OSError as error:
        raise WeightsError(f"no graph at {graph}: {error}") from error
    except Exception as error:  # ONNX Runtime's errors have no common class of their own
        raise WeightsError(f"the weights do not fit the graph {graph}: {error}") from error
