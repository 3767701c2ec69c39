"""The networks of presets with random weights: of the true size and speed, and never downloaded.

Needs torch, and transformers or timm.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import timm
import transformers
from torch import Tensor, nn

from models.hub.presets import Preset

CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "siglip2-base": {"text_config": {"vocab_size": 256_000}, "vision_config": {"image_size": 224}},
    "siglip-multilingual": {
        "text_config": {"vocab_size": 250_000},
        "vision_config": {"image_size": 256},
    },
    "fashion-clip": {},
    "dinov2-small": {
        "hidden_size": 384,
        "num_attention_heads": 6,
        "image_size": 518,
        "patch_size": 14,
    },
    "dinov3-small": {
        "hidden_size": 384,
        "num_attention_heads": 6,
        "intermediate_size": 1536,
        "num_register_tokens": 4,
        "image_size": 224,
    },
}
"""What differs from the defaults of the configuration of the preset's class in transformers."""

PICTURE_TOWERS = {
    "SiglipModel": "SiglipVisionModel",
    "CLIPModel": "CLIPVisionModelWithProjection",
}
"""The class of transformers that is the picture tower of a class with two."""

OPEN_CLIP_TOWERS = {"MobileCLIP2-S0": "fastvit_mci0"}
"""timm's name of the picture tower of a network of open_clip."""


class PictureTower(nn.Module):
    """What encodes a picture: (1, 3, s, s) to a vector (1, dim)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, picture: Tensor) -> Tensor:
        """The vector."""
        given: Any = self.network(picture)
        for name in ("image_embeds", "pooler_output"):  # as transformers' classes call it
            given = getattr(given, name, given)
        vector: Tensor = given
        return vector


def picture_tower(preset: Preset) -> PictureTower:
    """A preset's picture tower."""
    if preset.library == "timm":
        return PictureTower(timm.create_model(preset.architecture, num_classes=0))
    if preset.library == "open_clip":
        name = OPEN_CLIP_TOWERS[preset.architecture]
        return PictureTower(timm.create_model(name, num_classes=preset.dim))
    if preset.kind == "vision":
        return PictureTower(whole_network(preset))
    kind = getattr(transformers, PICTURE_TOWERS[preset.architecture])
    options = CONFIGS[preset.name].get("vision_config", {})
    return PictureTower(kind(kind.config_class(**options)))


def whole_network(preset: Preset) -> nn.Module:
    """All of a preset's network, of transformers or timm."""
    if preset.library == "timm":
        network: nn.Module = timm.create_model(preset.architecture)
        return network
    kind = getattr(transformers, preset.architecture)
    network = kind(kind.config_class(**CONFIGS[preset.name]))
    return network.eval()
