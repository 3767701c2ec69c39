"""The torch side of a network from a Hugging Face folder; only exporting needs it.

transformers' classes and timm's are brought to one form: a picture tower that gives an embedding, a
row per patch and, where one token or head looks at all patches, how much it looks at each; and a
text tower whose embeddings lie in the same space.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import timm
import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from models.backbone.token_reduction import reduce_tokens
from models.backbone.tower_files import check_folder, is_open_clip, read_json, timm_name
from models.errors import WeightsError

Outputs = tuple[Tensor, Tensor, Tensor]
Towers = tuple[nn.Module, nn.Module | None, str]


class TransformersPictures(nn.Module):
    """Pictures (n, 3, s, s) to patches (n, p, c), embedding (n, d) and attention (n, p).

    The attention is that of the pooling head, where the network has one (SigLIP), else that of the
    class token in the last layer, the mean over its heads; without either it is (n, 0).
    """

    def __init__(self, model: Any, size: int, *, pooled: bool, fewer_tokens: str = "") -> None:
        super().__init__()
        self.model = model
        self.joint = hasattr(model, "get_text_features")
        self.pooled = pooled
        self._attention: list[Tensor] = []
        vision = model.vision_model if self.joint else model
        for module in vision.modules():
            if "Attention" in type(module).__name__:
                module.register_forward_hook(self._note)
        patch = getattr(vision.config, "patch_size", None)
        self.patches = (size // patch) ** 2 if isinstance(patch, int) else 0
        self.reduction = reduce_tokens(vision, self.patches, fewer_tokens) if fewer_tokens else None

    def _note(self, _module: nn.Module, _inputs: object, outputs: object) -> None:
        if isinstance(outputs, tuple) and len(outputs) > 1 and isinstance(outputs[1], Tensor):
            self._attention.append(outputs[1])

    def forward(self, picture: Tensor) -> Outputs:
        """Patches, embedding and attention."""
        self._attention.clear()
        run = self.model.get_image_features if self.joint else self.model
        found = run(pixel_values=picture)
        rows = found.last_hidden_state
        if rows.ndim == 4:  # a map (1, c, h, w)
            rows, first = rows.flatten(2).transpose(1, 2), 0
        else:
            first = rows.shape[1] - (self.patches or int(rows.shape[1] ** 0.5) ** 2)
        embedding = found.pooler_output if self.pooled else found.last_hidden_state[:, 0]
        attention = rows.new_zeros(len(rows), 0)
        if self._attention:
            last = self._attention[-1]
            if last.ndim == 3:  # of the pooling head, (1, 1, p)
                attention = last[:, 0, first:]
            elif first:  # of all tokens, (1, heads, t, t)
                attention = last.mean(dim=1)[:, 0]
                if self.reduction is not None:
                    attention = self.reduction.spread(attention)
                attention = attention[:, first:]
        return rows[:, first:], embedding, attention


class TransformersTexts(nn.Module):
    """Token ids (1, n) to embeddings (1, d)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        """The embedding."""
        found: Tensor = self.model.get_text_features(input_ids=ids).pooler_output
        return found


class TimmPictures(nn.Module):
    """As `TransformersPictures`, for a timm network without its classifier."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self.prefix = int(getattr(network, "num_prefix_tokens", 0))
        self.channels_last = getattr(network, "output_fmt", "") == "NHWC"

    def forward(self, picture: Tensor) -> Outputs:
        """Patches, embedding and no attention."""
        rows = self.network.forward_features(picture)
        embedding = self.network.forward_head(rows, pre_logits=True)
        if rows.ndim == 4:
            rows = rows.flatten(1, 2) if self.channels_last else rows.flatten(2).transpose(1, 2)
        else:
            rows = rows[:, self.prefix :]
        return rows, embedding, rows.new_zeros(len(rows), 0)


def load_towers(folder: Path, size: int, fewer_tokens: str = "") -> Towers:
    """The picture tower, the text tower or None, and the name of the architecture.

    Args:
        folder: of a transformers model, or of a timm network.
        size: side of the pictures, in pixels.
        fewer_tokens: how layers work with fewer tokens (`models.backbone.token_reduction`), if so.

    Raises:
        WeightsError: the folder holds no network that can be used; the message says why.
    """
    check_folder(folder)
    named = timm_name(read_json(folder, "config.json"))
    if fewer_tokens and (is_open_clip(folder) or named is not None):
        raise WeightsError(
            f"{folder} is no network of transformers, which {fewer_tokens} is for: leave it out"
        )
    if is_open_clip(folder):  # by name: other folders don't need open_clip
        found: Towers = import_module("models.backbone.open_clip_network").load_open_clip(folder)
        return found
    if named is not None:
        return TimmPictures(_timm_network(folder, named)).eval(), None, named
    model, missing = _transformers_model(folder)
    joint = hasattr(model, "get_text_features")
    pooled = not any("pooler" in key for key in missing)
    if other := [key for key in missing if "pooler" not in key]:
        raise WeightsError(
            f"the weights in {folder} lack {len(other)} tensors of {type(model).__name__}: "
            f"{', '.join(sorted(other)[:3])}"
        )
    try:
        pictures = (
            TransformersPictures(model, size, pooled=pooled, fewer_tokens=fewer_tokens)
            .eval()
            .requires_grad_(False)
        )
        with torch.inference_mode():
            pictures(torch.zeros(1, 3, size, size))
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{type(model).__name__} in {folder} takes no single picture of {size} × {size} px "
            f"({error}). Networks with one fixed input size can be used: CLIP, SigLIP, SigLIP 2 "
            "(without NaFlex), DINOv2, DINOv3, ViT, ConvNeXt and the like"
        ) from error
    texts = TransformersTexts(model).eval().requires_grad_(False) if joint else None
    return pictures, texts, type(model).__name__


def _transformers_model(folder: Path) -> tuple[Any, set[str]]:
    """The model, and the names of its weights that the folder lacks."""
    library: Any = transformers
    library.logging.set_verbosity_error()  # it warns about defaults that the folder does not use
    library.logging.disable_progress_bar()
    try:
        model, info = library.AutoModel.from_pretrained(
            folder,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            dtype=torch.float32,
            attn_implementation="eager",
            output_loading_info=True,
        )
    except (
        ImportError,
        KeyError,
        OSError,
        RuntimeError,
        SafetensorError,
        ValueError,
    ) as error:
        raise WeightsError(
            f"{folder} holds no network that transformers can load: {error}"
        ) from error
    return model.eval(), set(info["missing_keys"])


def _timm_network(folder: Path, name: str) -> Any:
    config = read_json(folder, "config.json")
    options = dict(config.get("model_args") or {})
    for key in ("num_classes", "global_pool"):
        if config.get(key) is not None:
            options[key] = config[key]
    try:
        network = timm.create_model(name, pretrained=False, **options)
    except (RuntimeError, TypeError) as error:
        raise WeightsError(f"timm makes no network {name!r}: {error}") from error
    try:
        tensors = load_file(folder / "model.safetensors")
        network.load_state_dict(
            {key.removeprefix("timm_model."): tensor.float() for key, tensor in tensors.items()}
        )
    except (OSError, RuntimeError, SafetensorError) as error:
        raise WeightsError(f"the weights in {folder} do not fit {name}: {error}") from error
    return network.eval().requires_grad_(False)
