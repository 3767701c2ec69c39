"""An exported network on disk: what serves it without torch.

    network.onnx           the graph: ``picture`` (1, 3, s, s) to ``patches`` and ``trunk``
    network.safetensors    its weights, by timm's names, and the classifier's
    identity_branch.onnx   the graph of an identity branch: ``trunk`` to ``patches``; EfficientNets
    layout.json            how the patch rows are laid out, and the names of the classes

The graphs hold no weights, only the names of them. So a trained identity branch is served from the
encoder's own file, and the weights are one file for training and serving alike.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from safetensors import SafetensorError
from safetensors.numpy import load_file

from models.arrays import Floats
from models.backbone.spec import IDENTITY_BRANCH, NETWORK, Layout
from models.errors import WeightsError

NETWORK_GRAPH, BRANCH_GRAPH, LAYOUT = "network.onnx", "identity_branch.onnx", "layout.json"


class LayoutCard(msgspec.Struct, frozen=True, kw_only=True):
    """`layout.json`: see `models.backbone.spec.Layout`.

    Attributes:
        classifier: the names of its weight and bias; None where there is none.
        identity_width: of the map that an identity branch gives; 0 where the network has no place
            for one.
        network_weights, branch_weights: what the graphs take from outside, by name.
    """

    grid: tuple[int, int]
    widths: tuple[int, ...]
    labels: tuple[str, ...]
    classifier: tuple[str, str] | None
    identity_width: int
    network_weights: tuple[str, ...]
    branch_weights: tuple[str, ...]


def is_exported(folder: Path) -> bool:
    """Whether there is a whole exported network; it is written in one step."""
    return (folder / LAYOUT).is_file()


def read_card(folder: Path) -> LayoutCard:
    """Read `layout.json`; raises WeightsError."""
    try:
        return msgspec.json.decode((folder / LAYOUT).read_bytes(), type=LayoutCard)
    except (OSError, msgspec.DecodeError) as error:
        raise WeightsError(f"no exported network in {folder}: {error}") from error


def read_weights(path: Path) -> dict[str, Floats]:
    """All tensors of a safetensors file in float32, by name; raises WeightsError."""
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"no readable weights at {path}: {error}") from error
    return {name: tensor.astype("float32") for name, tensor in tensors.items()}


def network_weights(folder: Path) -> dict[str, Floats]:
    """The weights of the network, and of its classifier."""
    return read_weights(folder / NETWORK)


def branch_weights(encoder: Path) -> dict[str, Floats]:
    """The weights of the identity branch in an encoder's file."""
    return {
        name.removeprefix(IDENTITY_BRANCH): tensor
        for name, tensor in read_weights(encoder).items()
        if name.startswith(IDENTITY_BRANCH)
    }


def layout_of(card: LayoutCard, weights: dict[str, Floats], *, identity: bool) -> Layout:
    """The layout of the patch rows, with or without an identity branch."""
    classifier = None
    if card.classifier is not None:
        classifier = (weights[card.classifier[0]], weights[card.classifier[1]])
    width = card.identity_width if identity else 0
    return Layout(card.grid, card.widths, classifier, card.labels, width)
