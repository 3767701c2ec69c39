"""A network of a folder as open_clip has them: two towers, the picture's one of timm.

Its own class is built and takes the weights of the folder, safetensors alone. Such folders hold
open_clip_config.json, open_clip_model.safetensors and a tokenizer of transformers.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import open_clip
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.utils.model import reparameterize_model
from torch import Tensor, nn

from models.backbone.tower_files import OPEN_CLIP_CONFIG, OPEN_CLIP_WEIGHTS, read_json
from models.errors import WeightsError

Outputs = tuple[Tensor, Tensor, Tensor]


class OpenClipPictures(nn.Module):
    """Pictures (n, 3, s, s) to patches (n, p, c), embedding (n, d) and no attention."""

    def __init__(self, visual: Any) -> None:
        super().__init__()
        self.trunk: Any = reparameterize_model(visual.trunk)  # without the branches of training
        self.head: Any = visual.head

    def forward(self, picture: Tensor) -> Outputs:
        """Patches, embedding and no attention."""
        rows = self.trunk.forward_features(picture)
        embedding = self.head(self.trunk.forward_head(rows))
        rows = rows.flatten(2).transpose(1, 2)
        return rows, embedding, rows.new_zeros(len(rows), 0)


class OpenClipTexts(nn.Module):
    """Token ids (1, n) to embeddings (1, d)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        """The embedding."""
        found: Tensor = self.model.encode_text(ids)
        return found


def load_open_clip(folder: Path) -> tuple[nn.Module, nn.Module, str]:
    """The picture tower, the text tower, and the name of the picture tower's architecture.

    Raises:
        WeightsError: it is of a kind that is not known here, or the weights do not fit.
    """
    config = read_json(folder, OPEN_CLIP_CONFIG).get("model_cfg") or {}
    pictures, texts = config.get("vision_cfg") or {}, config.get("text_cfg") or {}
    name = pictures.get("timm_model_name")
    if not isinstance(name, str) or "hf_model_name" in texts or "hf_tokenizer_name" in texts:
        raise WeightsError(
            f"{folder} is a network of open_clip of a kind that is not known here: known are those "
            "with a picture tower of timm and open_clip's own text tower, such as MobileCLIP2. Use "
            "the repository of the same network for transformers"
        )
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it would warn that there are no weights yet
    try:
        model = open_clip.create_model(
            f"{open_clip.factory.LOCAL_DIR_PREFIX}{folder}",
            load_weights=False,
            pretrained_image=False,
            pretrained_text=False,
        )
        model.load_state_dict(load_file(folder / OPEN_CLIP_WEIGHTS))
    except (KeyError, OSError, RuntimeError, SafetensorError, TypeError, ValueError) as error:
        raise WeightsError(f"the weights in {folder} do not fit {name}: {error}") from error
    finally:
        logging.disable(before)
    model.eval().requires_grad_(False)
    visual: Any = model.visual
    if not hasattr(visual, "trunk"):
        raise WeightsError(f"{folder}: {name} has no trunk of timm")
    return OpenClipPictures(visual).eval(), OpenClipTexts(model).eval(), name
