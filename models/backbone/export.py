"""Export a torch network to ONNX graphs without weights, and its weights beside them.

See `models.backbone.exported` for the files. Constants are folded, layers are not: batch norms stay
beside their convolutions, under their own names, and ONNX Runtime fuses them when it loads them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
import onnx
import onnx_ir
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from models.backbone.exported import (
    BRANCH_GRAPH,
    LAYOUT,
    NETWORK_GRAPH,
    LayoutCard,
    is_exported,
)
from models.backbone.identity_branch import IdentityBranch
from models.backbone.patch_network import PatchNetwork, patch_network, pooling_matrix
from models.backbone.spec import NETWORK, BackboneSpec
from models.backbone.trace import trace
from models.errors import WeightsError

CLASSIFIER = ("classifier.weight", "classifier.bias")


class BranchRows(nn.Module):
    """An identity branch as it is served: trunk map (1, c, h, w) to patch rows (1, patches, k)."""

    rows: Tensor
    columns: Tensor

    def __init__(self, network: PatchNetwork, trunk: Tensor) -> None:
        super().__init__()
        self.branch = IdentityBranch(network.network)
        with torch.inference_mode():
            _, self.width, height, width = self.branch(trunk).shape
        self.register_buffer("rows", pooling_matrix(height, network.grid[0]))
        self.register_buffer("columns", pooling_matrix(width, network.grid[1]))

    def forward(self, trunk: Tensor) -> Tensor:
        """The rows."""
        cells = torch.matmul(torch.matmul(self.rows, self.branch(trunk)), self.columns.T)
        return cells.flatten(2).transpose(1, 2)


def export(spec: BackboneSpec, folder: Path, *, half: bool = False) -> None:
    """Write an exported network to ``folder``, in one atomic step.

    Args:
        spec: which network; its identity branch, if any, is not part of it.
        folder: what is there already is kept.
        half: store the weights in fp16.

    Raises:
        WeightsError: the weights don't fit, the exporter fails, or the folder cannot be written.
    """
    network, layout = patch_network(spec)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsError(
            f"the exported network cannot be kept in {folder.parent} ({error.strerror}); "
            "set LOOKSTREAM_CACHE to a folder that can be written"
        ) from error
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".export-") as scratch:
        written = Path(scratch) / "done"
        written.mkdir()
        picture = torch.zeros(1, 3, spec.size, spec.size)
        inputs = write_graph(
            network,
            {"picture": picture},
            ["patches", "trunk"],
            written / NETWORK_GRAPH,
            prefix="network.",
        )
        branch_inputs: tuple[str, ...] = ()
        width = 0
        if network.staged:
            with torch.inference_mode():
                trunk = network(picture)[1]
            branch = BranchRows(network, trunk).eval().requires_grad_(False)
            width = branch.width
            branch_inputs = write_graph(
                branch, {"trunk": trunk}, ["patches"], written / BRANCH_GRAPH, prefix="branch."
            )
        tensors = {name: network.network.state_dict()[name] for name in inputs}
        if layout.classifier is not None:
            tensors |= zip(CLASSIFIER, map(torch.from_numpy, layout.classifier), strict=True)
        save_file(
            {name: (one.half() if half else one).contiguous() for name, one in tensors.items()},
            written / NETWORK,
        )
        card = LayoutCard(
            grid=layout.grid,
            widths=layout.widths,
            labels=layout.labels,
            classifier=CLASSIFIER if layout.classifier is not None else None,
            identity_width=width,
            network_weights=inputs,
            branch_weights=branch_inputs,
        )
        (written / LAYOUT).write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=1))
        try:
            written.rename(folder)
        except OSError:
            # Another process was first: its files are the same.
            if not is_exported(folder):
                raise


def write_graph(
    network: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: list[str],
    path: Path,
    *,
    prefix: str,
) -> tuple[str, ...]:
    """Write the graph of a network; the weights below ``prefix`` stay outside.

    Returns:
        Their names, without the prefix.
    """
    traced = trace(network, list(inputs.values()), list(inputs), outputs)
    model = onnx_ir.to_proto(traced)
    names = _without_weights(model, prefix)
    path.write_bytes(model.SerializeToString(deterministic=True))
    return names


def _without_weights(model: onnx.ModelProto, prefix: str) -> tuple[str, ...]:
    """Take the weights below ``prefix`` and all remarks of the exporter out of a graph."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    graph.ClearField("value_info")
    del model.functions[:]
    names = {}
    for one in graph.initializer:
        if not one.name.startswith(prefix):
            continue
        names[one.name] = one.name.removeprefix(prefix)
        size = 4 * torch.Size(one.dims).numel()
        one.name = names[one.name]
        one.ClearField("raw_data")
        one.ClearField("float_data")
        one.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", NETWORK), ("length", str(size))):
            entry = one.external_data.add()
            entry.key, entry.value = key, value
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    return tuple(names.values())
