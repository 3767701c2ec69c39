"""The torch side of the backbone: a timm network that returns patch rows of several depths.

Only imported where torch is needed: on CUDA, and once to export the ONNX graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import timm
import torch
from timm.data.imagenet_info import ImageNetInfo
from torch import Tensor, nn

from models.backbone.identity_branch import IdentityBranch, load_identity_branch
from models.backbone.spec import LITE_MEAN, LITE_STD, BackboneSpec, Layout
from models.backbone.state_dict import read_state_dict
from models.errors import WeightsError

STAGES = (4, 5, 6)
"""The EfficientNet stages whose outputs are kept beside the final map."""

IMAGENET_CLASSES = 1000


class PatchNetwork(nn.Module):
    """(n, 3, s, s) → (n, rows × columns, channels of all depths), every map on the last one's grid.

    EfficientNets are walked stage by stage, other networks give their last three intermediate maps
    through timm's ``forward_intermediates``; the identity branch's map comes last. The shallowest
    map comes out whole as well: an identity branch is trained on it. Pictures come normalised as
    EfficientNet-Lite wants them, (x − 127) / 128 of bytes; ``mean`` and ``std`` (fractions of 255,
    per channel) are what another network was trained on.
    """

    gain: Tensor
    offset: Tensor

    def __init__(
        self,
        network: nn.Module,
        size: int,
        mean: Sequence[float] = LITE_MEAN,
        std: Sequence[float] = LITE_STD,
        identity_branch: IdentityBranch | None = None,
    ) -> None:
        super().__init__()
        self.network = network.eval()
        self.identity_branch = identity_branch
        gain, shift = torch.tensor(LITE_STD) / torch.tensor(std), torch.tensor(LITE_MEAN)
        self.renormalised = tuple(mean) != LITE_MEAN or tuple(std) != LITE_STD
        self.register_buffer("gain", gain.view(3, 1, 1))
        offset = (shift - torch.tensor(mean)) / torch.tensor(std)
        self.register_buffer("offset", offset.view(3, 1, 1))
        self.staged = all(hasattr(network, part) for part in ("conv_stem", "blocks", "conv_head"))
        with torch.inference_mode():
            maps = self.maps(torch.zeros(1, 3, size, size))
        self.grid: tuple[int, int] = (maps[-1].shape[2], maps[-1].shape[3])
        self.widths = tuple(
            one.shape[1] for one in maps[: len(maps) - (identity_branch is not None)]
        )
        self.identity: int = maps[-1].shape[1] if identity_branch is not None else 0
        for depth, one in enumerate(maps):
            self.register_buffer(f"rows{depth}", pooling_matrix(one.shape[2], self.grid[0]))
            self.register_buffer(f"columns{depth}", pooling_matrix(one.shape[3], self.grid[1]))

    def maps(self, picture: Tensor) -> list[Tensor]:
        """Feature maps (n, c, h, w), shallow first."""
        net: Any = self.network
        if self.renormalised:
            picture = picture * self.gain + self.offset
        if not self.staged:
            maps: list[Tensor] = net.forward_intermediates(
                picture, indices=3, norm=True, output_fmt="NCHW", intermediates_only=True
            )
            return maps
        found = []
        signal = net.bn1(net.conv_stem(picture))
        for number, stage in enumerate(net.blocks):
            signal = stage(signal)
            if number in STAGES:
                found.append(signal)
        found.append(net.bn2(net.conv_head(signal)))
        return (
            [*found, self.identity_branch(found[0])] if self.identity_branch is not None else found
        )

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Patch rows of all depths, concatenated, and the shallowest map (n, c, h, w)."""
        pooled = []
        maps = self.maps(picture)
        for depth, one in enumerate(maps):
            rows, columns = getattr(self, f"rows{depth}"), getattr(self, f"columns{depth}")
            cells = torch.matmul(torch.matmul(rows, one), columns.transpose(0, 1))
            pooled.append(cells.flatten(2).transpose(1, 2))
        return torch.cat(pooled, dim=2), maps[0]


def patch_network(spec: BackboneSpec) -> tuple[PatchNetwork, Layout]:
    """Build the network with its weights; raises WeightsError when they do not fit."""
    torch.manual_seed(0)
    try:
        network: Any = timm.create_model(spec.timm_name, pretrained=False)
    except RuntimeError as error:
        raise WeightsError(f"timm knows no network {spec.timm_name!r}: {error}") from error
    if spec.weights is not None:
        tensors = {
            name: tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in read_state_dict(spec.weights).items()
        }
        try:
            network.load_state_dict(tensors)
        except RuntimeError as error:
            raise WeightsError(f"{spec.weights} does not fit {spec.timm_name}: {error}") from error
    config = network.pretrained_cfg
    mean, std = spec.normalisation or (config["mean"], config["std"])
    identity_branch = None
    if spec.identity_branch is not None:
        identity_branch = IdentityBranch(network)
        load_identity_branch(identity_branch, spec.identity_branch)
    patches = (
        PatchNetwork(network, spec.size, mean, std, identity_branch).eval().requires_grad_(False)
    )
    head = network.get_classifier()
    fits = isinstance(head, nn.Linear) and head.in_features == patches.widths[-1]
    classifier = (head.weight.numpy(), head.bias.numpy()) if fits else None
    known = classifier is not None and len(classifier[1]) == IMAGENET_CLASSES
    labels = tuple(ImageNetInfo().label_descriptions()) if known else ()
    return patches, Layout(patches.grid, patches.widths, classifier, labels, patches.identity)


def pooling_matrix(source: int, target: int) -> Tensor:
    """Adaptive average pooling of one axis as a matrix (target, source).

    A matrix product, because ONNX has no adaptive pooling for sizes that do not divide.
    """
    matrix = torch.zeros(target, source)
    for cell in range(target):
        start, end = cell * source // target, -(-(cell + 1) * source // target)
        matrix[cell, start:end] = 1 / (end - start)
    return matrix
