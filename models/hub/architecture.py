"""The networks of presets with random weights: of the true size and speed, and never downloaded.

Needs torch, transformers, timm and open_clip.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import open_clip
import timm
import torch
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
    "qwen3-vl-embedding-2b": {
        "text_config": {
            "hidden_size": 2048,
            "intermediate_size": 6144,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "head_dim": 128,
        },
        "vision_config": {
            "depth": 24,
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "out_hidden_size": 2048,
            "deepstack_visual_indexes": [5, 11, 17],
        },
    },
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
        return PictureTower(whole_network(preset).visual)
    if preset.kind == "vision":
        return PictureTower(whole_network(preset))
    if preset.kind == "mllm":
        return PictureTower(whole_network(preset).visual)
    kind = getattr(transformers, PICTURE_TOWERS[preset.architecture])
    options = CONFIGS[preset.name].get("vision_config", {})
    return PictureTower(kind(kind.config_class(**options)))


def whole_network(preset: Preset) -> Any:
    """All of a preset's network."""
    if preset.library == "timm":
        return timm.create_model(preset.architecture)
    if preset.library == "open_clip":
        logging.getLogger().addFilter(_no_weights)
        try:
            return open_clip.create_model(preset.architecture, device=torch.get_default_device())
        finally:
            logging.getLogger().removeFilter(_no_weights)
    kind = getattr(transformers, preset.architecture)
    return kind(kind.config_class(**CONFIGS[preset.name]))


def _no_weights(record: logging.LogRecord) -> bool:
    """Keeps from the log that there are no weights, which is what is wanted here."""
    return "pretrained weights" not in record.getMessage()
