"""The part of the network that is trained: a second tail on the trunk of an EfficientNet.

The first stages and the pretrained tail stay as they are, so that tokens, classes and the general
features of a catalog never seen lose nothing. A copy of the last stages is trained to recognise
products (Pailitao-VL §4; training only the last stages is ours) and its map comes out beside the
others.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from models.backbone.spec import IDENTITY_BRANCH
from models.backbone.state_dict import read_state_dict
from models.errors import WeightsError

TRUNK = 4
"""The last stage of the trunk: blocks.4, 120 × 17 × 17 for lite2 at 260 px."""


class IdentityBranch(nn.Module):
    """Trunk map (n, c, h, w) → identity map (n, 1280, h / 2, w / 2)."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(copy.deepcopy(stage) for stage in network.blocks[TRUNK + 1 :])
        )
        self.conv_head = copy.deepcopy(network.conv_head)
        self.norm = copy.deepcopy(network.bn2)
        self.eval()

    def train(self, mode: bool = True) -> IdentityBranch:
        """Batch norms keep the statistics they were trained with: our batches are small."""
        return super().train(False)

    def forward(self, trunk: Tensor) -> Tensor:
        """The identity map."""
        found: Tensor = self.norm(self.conv_head(self.blocks(trunk)))
        return found


def load_identity_branch(identity_branch: IdentityBranch, path: Path) -> None:
    """Fill a tail from an encoder's file; raises WeightsError when it does not fit."""
    tensors = {
        key.removeprefix(IDENTITY_BRANCH): tensor.float() if tensor.is_floating_point() else tensor
        for key, tensor in read_state_dict(path).items()
        if key.startswith(IDENTITY_BRANCH)
    }
    try:
        identity_branch.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(f"the tail in {path} does not fit this backbone: {error}") from error


def identity_branch_tensors(identity_branch: IdentityBranch) -> Mapping[str, Tensor]:
    """The tail's tensors as they are stored in the encoder's file, fp16."""
    return {
        f"{IDENTITY_BRANCH}{key}": tensor.half().contiguous()
        if tensor.is_floating_point()
        else tensor
        for key, tensor in identity_branch.state_dict().items()
    }
