"""A small network of two towers, of transformers' own SigLIP classes, trained on rendered products.

It learns pictures and captions of synthetic catalogs by SigLIP's pairwise sigmoid loss (Zhai et al.
2023) in minutes on one core, and is saved as a Hugging Face folder: config, safetensors, image
processor and tokenizer. It knows nothing but these renders; what it is for is to show that words
find pictures without words in a real network of this kind, from the folder to the answers.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
import transformers
from PIL import Image
from torch import Tensor, nn

from models.catalog.folder import Product, read_catalog
from models.images.files import open_picture
from models.progress import Progress, no_progress

SIZE, PATCH, WIDTH, LAYERS, HEADS = 64, 16, 128, 3, 4
"""`PATCH` is the side of a patch, unless another one is asked for."""

TOKENS, WORDS = 24, 1000
BATCH, LEARNING_RATE, WARM_UP_STEPS = 96, 1e-3, 30
MARGIN = 8
"""Pixels by which a training picture may be cut at a side."""

WORDS_DROPPED = 0.15
"""Share of a caption's words that training leaves out."""


@dataclass(frozen=True)
class Pair:
    """A picture of a product, and what it shows in words."""

    picture: Path
    caption: str


def caption_of(product: Product) -> str:
    """The first sentence of a synthetic product's description: what its picture shows."""
    return re.split(r"(?<=\.)\s", product.description, maxsplit=1)[0].rstrip(".")


def pairs_of(
    folders: Sequence[Path], splits: Sequence[str] = ("train", "val", "test")
) -> list[Pair]:
    """The packshots and photos of catalogs, with the captions of their products."""
    pairs = []
    for folder in folders:
        catalog = read_catalog(folder)
        captions = {one.product_id: caption_of(one) for one in catalog.products}
        pairs += [
            Pair(Path(catalog.locate(one.image)), captions[one.product_id])
            for one in catalog.products
            if one.image
        ]
        pairs += [
            Pair(Path(catalog.locate(photo.image)), captions[photo.product_id])
            for photo in catalog.photos
            if photo.split in splits and photo.product_id in captions
        ]
    return pairs


def train_tiny_siglip(
    pairs: Sequence[Pair],
    folder: Path,
    *,
    steps: int,
    patch: int = PATCH,
    layers: int = LAYERS,
    seed: int = 0,
    progress: Progress = no_progress,
) -> dict[str, float]:
    """Train and save a network; returns its last loss, the seconds it took and its parameters."""
    began = time.perf_counter()
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    tokenizer = _tokenizer([one.caption for one in pairs])
    pictures = _load([one.picture for one in pairs])
    model = _model(len(tokenizer), patch, layers)
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=steps, pct_start=WARM_UP_STEPS / max(steps, 60)
    )
    loss = torch.tensor(0.0)
    model.train()
    for step in range(steps):
        chosen = rng.choice(len(pairs), min(BATCH, len(pairs)), replace=False)
        captions = [_shortened(pairs[one].caption, rng) for one in chosen]
        ids = tokenizer(
            captions, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt"
        )["input_ids"]
        found = model(input_ids=ids, pixel_values=_augmented(pictures[chosen], rng))
        loss = _sigmoid_loss(found.logits_per_text, [pairs[one].caption for one in chosen])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        progress(step + 1, steps)
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    transformers.SiglipImageProcessor(size={"height": SIZE, "width": SIZE}).save_pretrained(folder)
    return {
        "loss": float(loss.detach()),
        "seconds": time.perf_counter() - began,
        "parameters": sum(one.numel() for one in model.parameters()),
    }


def _model(words: int, patch: int, layers: int) -> Any:
    side = {
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
    }
    config = transformers.SiglipConfig(
        text_config={
            **side,
            "num_hidden_layers": LAYERS - 1,
            "vocab_size": words,
            "max_position_embeddings": TOKENS,
            "projection_size": WIDTH,
            "pad_token_id": 0,
        },
        vision_config={
            **side,
            "num_hidden_layers": layers,
            "image_size": SIZE,
            "patch_size": patch,
        },
    )
    model: Any = transformers.SiglipModel(config)
    with torch.no_grad():
        model.logit_scale.fill_(np.log(10.0))
        model.logit_bias.fill_(-10.0)
    return model


def _tokenizer(captions: Sequence[str]) -> Any:
    """A byte-pair tokenizer of the captions, as SigLIP's: lower case, ending in ``</s>``."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="<unk>"))
    made.normalizer = tokenizers.normalizers.Lowercase()
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=WORDS, special_tokens=["<pad>", "</s>", "<unk>"], show_progress=False
    )
    made.train_from_iterator([one.lower() for one in captions], trainer)
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    library: Any = transformers
    return library.PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=TOKENS,
    )


def _load(paths: Sequence[Path]) -> Tensor:
    """Pictures (n, 3, s, s) in ±1, a margin larger than the input at each side."""
    side = SIZE + 2 * MARGIN
    rows = [
        np.asarray(
            Image.fromarray(open_picture(path)).resize((side, side), Image.Resampling.BICUBIC)
        )
        for path in paths
    ]
    return torch.from_numpy(np.stack(rows)).permute(0, 3, 1, 2)


def _augmented(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """Each picture cut out at random, and mirrored or not, (n, 3, s, s) in ±1."""
    cut = []
    for picture in pictures:
        side = int(rng.integers(SIZE - MARGIN, SIZE + 2 * MARGIN + 1))
        left, top = (int(one) for one in rng.integers(0, SIZE + 2 * MARGIN - side + 1, 2))
        part = picture[None, :, top : top + side, left : left + side].float()
        part = nn.functional.interpolate(part, (SIZE, SIZE), mode="bilinear", antialias=True)
        cut.append(part.flip(3) if rng.random() < 0.5 else part)
    return torch.cat(cut) / 127.5 - 1


def _shortened(caption: str, rng: np.random.Generator) -> str:
    """A caption with some words left out, as shoppers write."""
    words = caption.split()
    return " ".join(word for word in words if rng.random() >= WORDS_DROPPED) or caption


def _sigmoid_loss(logits: Tensor, captions: Sequence[str]) -> Tensor:
    """SigLIP's loss of logits (texts, pictures); equal captions belong together."""
    same = torch.tensor([[one == other for other in captions] for one in captions])
    signs = 2.0 * same.float() - 1.0
    losses: Tensor = -nn.functional.logsigmoid(signs * logits).sum(dim=1).mean()
    return losses
