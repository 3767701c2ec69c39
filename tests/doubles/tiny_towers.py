"""Hugging Face folders of real classes, tiny and with random weights; needs transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

library: Any = pytest.importorskip("transformers", reason="the extra 'mllm' is not installed")

SIZE, PATCH, WIDTH, WORDS = 32, 8, 32, 300
SIDE = {
    "hidden_size": WIDTH,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
VISION = {**SIDE, "image_size": SIZE, "patch_size": PATCH}
SENTENCES = (
    "a red ceramic mug with a round handle",
    "blue leather boots, size 42",
    "steel frying pan and brass details",
    "a wooden chair with arms",
)


def siglip(folder: Path) -> Path:
    """SigLIP 2 with fixed patches: model type siglip, Gemma's kind of tokenizer."""
    text = {**SIDE, "vocab_size": WORDS, "max_position_embeddings": 16, "projection_size": WIDTH}
    config = library.SiglipConfig(
        text_config={**text, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1},
        vision_config=VISION,
    )
    _save(library.SiglipModel(config), folder)
    library.SiglipImageProcessor(size={"height": SIZE, "width": SIZE}).save_pretrained(folder)
    letters = [
        "<pad>",
        "<eos>",
        "<bos>",
        "<unk>",
        "<mask>",
        *"▁abcdefghijklmnopqrstuvwxyz0123456789,",
    ]
    merged = [("r", "e"), ("re", "d"), ("m", "u"), ("mu", "g")]
    words = [*letters, *("".join(pair) for pair in merged)]
    library.Siglip2Tokenizer(
        vocab={word: number for number, word in enumerate(words)},
        merges=merged,
        padding_side="right",
        model_max_length=16,
    ).save_pretrained(folder)
    return folder


def clip_words() -> dict[str, int]:
    """The letters of CLIP's tokenizer."""
    from tokenizers import pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*alphabet, *(f"{one}</w>" for one in alphabet[:40])]
    vocab = {piece: number for number, piece in enumerate(pieces)}
    return vocab | {"<|startoftext|>": len(vocab), "<|endoftext|>": len(vocab) + 1}


def clip(folder: Path) -> Path:
    """CLIP, whose joint space is narrower than its towers."""
    vocab = clip_words()
    ends = {"bos_token_id": len(vocab) - 2, "eos_token_id": len(vocab) - 1}
    config = library.CLIPConfig(
        text_config={
            **SIDE,
            "vocab_size": len(vocab),
            "max_position_embeddings": 16,
            "pad_token_id": ends["eos_token_id"],
            **ends,
        },
        vision_config=VISION,
        projection_dim=24,
    )
    _save(library.CLIPModel(config), folder)
    library.CLIPImageProcessor(
        size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE}
    ).save_pretrained(folder)
    library.CLIPTokenizer(vocab=vocab, merges=[], model_max_length=16).save_pretrained(folder)
    return folder


def dinov2(folder: Path) -> Path:
    """DINOv2 with registers: pictures alone."""
    config = library.Dinov2WithRegistersConfig(
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        mlp_ratio=2,
        image_size=SIZE,
        patch_size=PATCH,
    )
    _save(library.Dinov2WithRegistersModel(config), folder)
    library.BitImageProcessor(
        size={"shortest_edge": 40}, crop_size={"height": SIZE, "width": SIZE}
    ).save_pretrained(folder)
    return folder


def dinov3(folder: Path) -> Path:
    """DINOv3: pictures alone, positions by rotation."""
    config = library.DINOv3ViTConfig(**VISION, num_register_tokens=4)
    _save(library.DINOv3ViTModel(config), folder)
    library.ViTImageProcessor(size={"height": SIZE, "width": SIZE}).save_pretrained(folder)
    return folder


def convnext(folder: Path) -> Path:
    """ConvNeXt V2: pictures alone, a map in place of tokens."""
    config = library.ConvNextV2Config(
        hidden_sizes=[8, 16, 24, WIDTH], depths=[1, 1, 1, 1], image_size=64
    )
    _save(library.ConvNextV2Model(config), folder)
    library.ConvNextImageProcessor(size={"shortest_edge": 64}, crop_pct=0.875).save_pretrained(
        folder
    )
    return folder


def timm_network(folder: Path) -> Path:
    """A timm network, as timm's own folders have it."""
    import json

    import timm
    from safetensors.torch import save_file

    network: Any = timm.create_model("test_convnext", pretrained=False)
    folder.mkdir(parents=True)
    save_file(network.state_dict(), folder / "model.safetensors")
    kept = ("input_size", "interpolation", "crop_pct", "crop_mode", "mean", "std")
    config = {
        "architecture": "test_convnext",
        "num_classes": 1000,
        "pretrained_cfg": {name: network.pretrained_cfg.get(name) for name in kept},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def open_clip_network(folder: Path) -> Path:
    """A network as open_clip saves it, with the parts of MobileCLIP2."""
    import open_clip
    from open_clip.push_to_hf_hub import save_for_hf

    vocab = clip_words()
    config = {
        "embed_dim": 24,
        "vision_cfg": {
            "timm_model_name": "fastvit_t8",
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": None,
            "image_size": 64,
        },
        "text_cfg": {
            "context_length": 16,
            "vocab_size": len(vocab),
            "width": WIDTH,
            "heads": 4,
            "layers": 2,
            "no_causal_mask": True,
        },
    }
    model: Any = open_clip.CustomTextCLIP(**config).eval()
    model.visual.image_mean, model.visual.image_std = (0, 0, 0), (1, 1, 1)
    model.visual.preprocess_cfg = {"interpolation": "bilinear", "resize_mode": "shortest"}
    tokenizer = library.CLIPTokenizer(vocab=vocab, merges=[], model_max_length=16)
    whole = {**config, "custom_text": True}
    save_for_hf(model, tokenizer, whole, folder, safe_serialization=True)
    return folder


FOLDERS: dict[str, Callable[[Path], Path]] = {
    "siglip": siglip,
    "clip": clip,
    "dinov2": dinov2,
    "dinov3": dinov3,
    "convnext": convnext,
    "timm": timm_network,
    "open_clip": open_clip_network,
}
TWO_TOWERS = ("siglip", "clip")


def _save(model: Any, folder: Path) -> None:
    model.eval().save_pretrained(folder)


def seeded(name: str, folder: Path) -> Path:
    """One of `FOLDERS`, the same weights each time."""
    torch.manual_seed(0)
    return FOLDERS[name](folder)
