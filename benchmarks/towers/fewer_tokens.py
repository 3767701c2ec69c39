"""Fewer patches inside a transformer: pruned (EViT) or merged (ToMe), by layer, without training.

Pruning (Liang et al., arXiv 2202.07800) keeps a share of the patches at some layers, those that are
looked at most, and fuses the others into one. Merging (Bolya et al., 2210.09461) averages the most
alike pairs at every layer, and lets a patch that stands for several count as several. Here both are
done to a SigLIP, whose patches have no class token: what looks at a patch are the others (ours).

Speed is that of ONNX Runtime at the true shape with random weights; quality is that of the small
network that `benchmarks.towers.tiny_siglip` trains, on products that it has not seen.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx_ir
import onnxruntime
import torch
import transformers
from PIL import Image
from torch import Tensor, nn

from benchmarks.towers.tiny_siglip import SIZE, TOKENS, caption_of
from models.backbone.trace import trace
from models.catalog.folder import read_catalog
from models.images.files import open_picture
from workers.progress.tasks import Progress

ROUNDS, BATCH = 9, 64
RANKS = (1, 5, 10)
PRUNED_AT = (0.25, 0.5, 0.75)
"""Where patches are pruned, in shares of the layers, as EViT does."""


@dataclass(frozen=True)
class Reduction:
    """How patches become fewer.

    ``share`` is what stays at each layer that prunes, or what merging takes away in all, the same
    number of pairs at each layer.
    """

    way: Literal["whole", "prune", "random", "merge"]
    share: float = 0.0

    @property
    def name(self) -> str:
        """As in the table."""
        return self.way if self.way == "whole" else f"{self.way} {self.share:g}"


REDUCTIONS = (
    Reduction("whole"),
    *(Reduction("prune", share) for share in (0.9, 0.7, 0.5)),
    *(Reduction("random", share) for share in (0.9, 0.7, 0.5)),
    *(Reduction("merge", share) for share in (0.3, 0.5, 0.7, 0.9)),
)


class FewerTokens(nn.Module):
    """The embedding (n, d) of pictures (n, 3, s, s) by a SigLIP vision network."""

    def __init__(self, vision: Any, reduction: Reduction) -> None:
        super().__init__()
        self.vision = vision
        self.reduction = reduction
        layers = len(vision.encoder.layers)
        self.pruned = {round(share * layers) for share in PRUNED_AT}

    def forward(self, pictures: Tensor) -> Tensor:
        """The pooled output."""
        pooled: Tensor = self.vision.head(self.vision.post_layernorm(self.last_rows(pictures)))
        return pooled

    def last_rows(self, pictures: Tensor) -> Tensor:
        """What the last layer gives, (n, patches that are left, c)."""
        vision = self.vision
        rows: Tensor = vision.embeddings(pictures)
        sizes = torch.ones_like(rows[..., :1])
        pairs = round(self.reduction.share * rows.shape[1] / len(vision.encoder.layers))
        for number, layer in enumerate(vision.encoder.layers):
            found, keys, looked = _attend(layer.self_attn, layer.layer_norm1(rows), sizes)
            rows = rows + found
            if self.reduction.way == "merge":
                rows, sizes = merge(rows, sizes, keys, min(pairs, rows.shape[1] // 2))
            elif self.reduction.way != "whole" and number in self.pruned:
                if self.reduction.way == "random":
                    generator = torch.Generator().manual_seed(number)
                    looked = torch.rand(looked.shape, generator=generator)
                rows = prune(rows, looked, max(1, round(self.reduction.share * rows.shape[1])))
                sizes = torch.ones_like(rows[..., :1])
            rows = rows + layer.mlp(layer.layer_norm2(rows))
        return rows


def _attend(attention: Any, rows: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What attention adds, the mean keys (n, t, c), and how much patches are looked at (n, t)."""
    count, tokens, width = rows.shape
    heads = attention.num_heads

    def by_head(values: Tensor) -> Tensor:
        return values.view(count, tokens, heads, width // heads).transpose(1, 2)

    query, key, value = (
        by_head(layer(rows)) for layer in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    scores = query @ key.transpose(2, 3) / (width // heads) ** 0.5
    weights = (scores + sizes.log().transpose(1, 2)[:, None]).softmax(dim=3)
    found = (weights @ value).transpose(1, 2).reshape(count, tokens, width)
    return attention.out_proj(found), key.mean(dim=1), weights.mean(dim=(1, 2))


def prune(rows: Tensor, looked: Tensor, count: int) -> Tensor:
    """The ``count`` patches that are looked at most, and the others' weighted mean after them."""
    order = looked.argsort(dim=1, descending=True)
    rows = rows.gather(1, order[..., None].expand_as(rows))
    weights = looked.gather(1, order)[:, count:, None]
    if count >= rows.shape[1]:
        return rows
    fused = (rows[:, count:] * weights).sum(dim=1, keepdim=True) / weights.sum(dim=1, keepdim=True)
    return torch.cat([rows[:, :count], fused], dim=1)


def merge(rows: Tensor, sizes: Tensor, keys: Tensor, pairs: int) -> tuple[Tensor, Tensor]:
    """Average the most alike pairs of a patch of the even and one of the odd numbers."""
    if pairs == 0:
        return rows, sizes
    keys = nn.functional.normalize(keys, dim=2)
    best, nearest = (keys[:, ::2] @ keys[:, 1::2].transpose(1, 2)).max(dim=2)
    order = best.argsort(dim=1, descending=True)
    gone, stay = order[:, :pairs], order[:, pairs:]
    summed = rows * sizes

    def even(values: Tensor, at: Tensor) -> Tensor:
        return values[:, ::2].gather(1, at[..., None].expand(-1, -1, values.shape[2]))

    def odd(values: Tensor) -> Tensor:
        to = nearest.gather(1, gone)[..., None].expand(-1, -1, values.shape[2])
        return values[:, 1::2].scatter_add(1, to, even(values, gone))

    merged, counts = (torch.cat([even(one, stay), odd(one)], dim=1) for one in (summed, sizes))
    return merged / counts, counts


def measure_fewer_tokens(trained: Path, strangers: Path, bars: Progress) -> dict[str, Any]:
    """A row for each reduction: ms at the true shape, and ranks of products by their captions."""
    library: Any = transformers
    config = library.SiglipVisionConfig(image_size=224)
    torch.manual_seed(0)
    shaped = library.SiglipVisionModel(config).eval().requires_grad_(False)
    model = library.SiglipModel.from_pretrained(trained).eval().requires_grad_(False)
    pictures, words = _asked(trained, strangers, model)
    table: dict[str, dict[str, float]] = {}
    sessions, left = dict[str, Any](), dict[str, int]()
    with tempfile.TemporaryDirectory() as scratch:
        for one in bars.track(REDUCTIONS, "fewer tokens", len(REDUCTIONS)):
            if one.way != "random":  # it is as fast as pruning
                path = Path(scratch) / f"{one.name}.onnx"
                network = FewerTokens(shaped, one).eval()
                sessions[one.name] = _session(network, path)
                left[one.name] = network.last_rows(torch.zeros(1, 3, 224, 224)).shape[1]
            table[one.name] = _ranks(model, FewerTokens(model.vision_model, one), pictures, words)
        canvas = np.zeros((1, 3, 224, 224), np.float32)
        taken: dict[str, list[float]] = {name: [] for name in sessions}
        # Taking turns, so that other load on the machine slows all; the least counts.
        for _ in range(ROUNDS):
            for name, session in sessions.items():
                began = time.perf_counter()
                session.run(None, {"picture": canvas})
                taken[name].append(1000 * (time.perf_counter() - began))
        sessions.clear()
    for name, rounds in taken.items():
        table[name]["left_of_196"] = left[name]
        table[name]["ms"] = round(min(rounds), 1)
        table[name]["speed"] = round(min(taken["whole"]) / min(rounds), 2)
    return {"fewer_tokens": table, "fewer_tokens_products": len(words)}


def _session(network: nn.Module, path: Path) -> Any:
    model = trace(network, [torch.zeros(1, 3, 224, 224)], ["picture"], ["embedding"])
    onnx_ir.save(model, path, external_data=path.with_suffix(".data").name)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _asked(trained: Path, strangers: Path, model: Any) -> tuple[Tensor, Tensor]:
    """Pictures (n, 3, s, s) in ±1 and the embeddings (n, d) of their captions."""
    library: Any = transformers
    tokenizer = library.AutoTokenizer.from_pretrained(trained)
    catalog = read_catalog(strangers)
    products = [one for one in catalog.products if one.image]
    rows = [_small(Path(catalog.locate(one.image or ""))) for one in products]
    captions = [caption_of(one) for one in products]
    ids = tokenizer(
        captions, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt"
    )["input_ids"]
    words = model.text_model(input_ids=ids).pooler_output
    return torch.from_numpy(np.stack(rows)) / 127.5 - 1, nn.functional.normalize(words, dim=1)


def _small(path: Path) -> np.ndarray:
    image = Image.fromarray(open_picture(path)).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    return np.asarray(image, np.float32).transpose(2, 0, 1)


def _ranks(model: Any, network: FewerTokens, pictures: Tensor, words: Tensor) -> dict[str, float]:
    """The shares of captions that find their picture so far up, and how near embeddings stay."""

    def embedded(one: nn.Module) -> Tensor:
        rows = [one(pictures[start : start + BATCH]) for start in range(0, len(pictures), BATCH)]
        return nn.functional.normalize(torch.cat(rows), dim=1)

    with torch.inference_mode():
        whole = embedded(FewerTokens(model.vision_model, Reduction("whole")))
        found = embedded(network)
        left = network.last_rows(pictures[:1]).shape[1]
        scores = words @ found.T
        better = (scores > scores.diagonal()[:, None]).sum(dim=1)
    return {
        "left_of_16": left,
        **{f"r@{rank}": round(float((better < rank).float().mean()), 4) for rank in RANKS},
        "cosine": round(float((whole * found).sum(dim=1).mean()), 4),
    }
