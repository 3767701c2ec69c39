"""Fewer tokens inside a vision transformer, which saves most of what encoding a picture takes.

Two ways, both without training: EViT (Liang et al. 2022, arXiv 2202.07800) keeps the patches that
the class token looks at and fuses the others into one token, at three layers; ToMe (Bolya et al.
2023, arXiv 2210.09461) merges the patches that are most alike, a few at every layer. After the last
layer each patch gets the row of the token that it went into, so that whatever reads patches, a
pooling head too, finds as many as before, and a merged token counts once for each of its patches.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from models.errors import WeightsError
from models.hub.names import EVIT, TOME

KEPT = 0.7
"""Of EViT: the share of patches that each of its layers keeps. The paper's."""

MERGED = 0.5
"""Of ToMe: the share of patches that all layers together merge into others."""

PRUNED_AFTER = (0.25, 0.5, 0.75)
"""Of EViT: where it prunes, in shares of the layers."""

Reduced = tuple[Tensor, Tensor, Tensor]
"""Tokens (n, t', c), how many patches each holds (n, t'), and where each of the t went (n, t)."""


def keep_attentive(
    tokens: Tensor, size: Tensor, attention: Tensor, first: int, keep: int
) -> Reduced:
    """Keep the ``keep`` patches that get the most attention, and fuse the others by it (EViT).

    Args:
        tokens: (n, t, c), the ``first`` of which are no patches.
        size: how many patches each token holds, (n, t).
        attention: that each token gets, (n, t), positive.
        first: where patches begin.
        keep: from 1 to t - first - 1.
    """
    order = first + _descending(attention[:, first:])
    kept, rest = order[:, :keep], order[:, keep:]
    weight = attention.gather(1, rest).clamp_min(1e-9)
    fused = (_rows(tokens, rest) * weight[..., None]).sum(1, keepdim=True)
    fused = fused / weight.sum(1)[:, None, None]
    made = torch.cat([tokens[:, :first], _rows(tokens, kept), fused], dim=1)
    counts = torch.cat(
        [size[:, :first], size.gather(1, kept), size.gather(1, rest).sum(1, keepdim=True)], dim=1
    )
    place = torch.full_like(size, first + keep, dtype=torch.long)
    place[:, :first] = torch.arange(first, device=size.device)
    new = torch.arange(first, first + keep, device=size.device).expand_as(kept)
    return made, counts, place.scatter(1, kept, new)


def merge_alike(tokens: Tensor, size: Tensor, first: int, merged: int) -> Reduced:
    """Merge the ``merged`` patches most like one of the other half into it (ToMe's matching).

    Args:
        tokens: (n, t, c), the ``first`` of which are no patches.
        size: how many patches each token holds, (n, t).
        first: where patches begin.
        merged: from 1 to half of the patches.
    """
    one, other = tokens[:, first::2], tokens[:, first + 1 :: 2]
    likeness = nn.functional.normalize(one, dim=2) @ nn.functional.normalize(other, dim=2).mT
    best, into = likeness.max(dim=2)
    order = _descending(best)
    gone, stays = order[:, :merged], order[:, merged:]
    target = into.gather(1, gone)
    counts = size[:, first + 1 :: 2]
    # One row for each that goes, with 1 where it goes to: sums by a product, in any export.
    goes = nn.functional.one_hot(target, other.shape[1]).to(tokens.dtype)
    weight = size[:, first::2].gather(1, gone)
    total = counts + (goes * weight[..., None]).sum(1)
    summed = other * counts[..., None] + goes.mT @ (_rows(one, gone) * weight[..., None])
    made = torch.cat([tokens[:, :first], _rows(one, stays), summed / total[..., None]], dim=1)
    counts = torch.cat([size[:, :first], size[:, first::2].gather(1, stays), total], dim=1)
    begin = first + stays.shape[1]
    place = torch.empty_like(size, dtype=torch.long)
    place[:, :first] = torch.arange(first, device=size.device)
    new = torch.arange(first, begin, device=size.device).expand_as(stays)
    place[:, first::2] = (
        torch.empty_like(order).scatter(1, stays, new).scatter(1, gone, target + begin)
    )
    place[:, first + 1 :: 2] = torch.arange(begin, begin + other.shape[1], device=size.device)
    return made, counts, place


def _descending(values: Tensor) -> Tensor:
    return values.topk(values.shape[1], dim=1).indices  # an operator that ONNX has


def _rows(tokens: Tensor, chosen: Tensor) -> Tensor:
    return tokens.gather(1, chosen[..., None].expand(-1, -1, tokens.shape[2]))


class TokenReduction:
    """What the layers of a transformer do to tokens on the way; hooks call it after each.

    Attributes:
        place: which token each of the first layer's tokens has become, (n, t).
        size: how many patches each token holds, (n, t').
    """

    def __init__(
        self, layers: Sequence[nn.Module], patches: int, method: str, share: float
    ) -> None:
        self.place, self.size = torch.zeros(0), torch.zeros(0)
        self._patches, self._method, self._count = patches, method, len(layers)
        self._share, self._first = share, 0
        self._attention: Tensor | None = None
        pruned = {round(place * len(layers)) for place in PRUNED_AFTER}
        self._changed = pruned if method == EVIT else set(range(len(layers) - 1))
        for number, layer in enumerate(layers):
            for module in layer.modules():
                if "Attention" in type(module).__name__:
                    module.register_forward_hook(self._note)
            layer.register_forward_hook(partial(self._after, number))

    def spread(self, attention: Tensor) -> Tensor:
        """Attention (n, t') to tokens as attention (n, t) to what they were, in equal shares."""
        return (attention / self.size).gather(1, self.place)

    def _note(self, _module: nn.Module, _inputs: object, outputs: object) -> None:
        if isinstance(outputs, tuple) and len(outputs) > 1 and isinstance(outputs[1], Tensor):
            self._attention = outputs[1]

    def _after(self, number: int, _module: nn.Module, _inputs: object, outputs: Any) -> Any:
        tokens = outputs[0] if isinstance(outputs, tuple) else outputs
        count = tokens.shape[1]
        if number == 0:
            self.size = torch.ones_like(tokens[..., 0])
            self.place = torch.arange(count, device=tokens.device).expand(len(tokens), -1)
            self._first = count - self._patches
        if number == self._count - 1:
            tokens = _rows(tokens, self.place)
        elif number in self._changed and (change := self._change(tokens)) is not None:
            tokens, self.size, place = change
            self.place = place.gather(1, self.place)
        return (tokens, *outputs[1:]) if isinstance(outputs, tuple) else tokens

    def _change(self, tokens: Tensor) -> Reduced | None:
        first, left = self._first, tokens.shape[1] - self._first
        if self._method == TOME:
            merged = min(round(self._share * self._patches / max(self._count - 1, 1)), left // 2)
            return merge_alike(tokens, self.size, first, merged) if merged else None
        keep = int(self._share * left)
        attention = self.attention(tokens)
        return keep_attentive(tokens, self.size, attention, first, keep) if keep else None

    def attention(self, tokens: Tensor) -> Tensor:
        """How much each of the tokens (n, t, c) is looked at, (n, t), positive.

        By the first token where there is one that is no patch, else by all; the mean of heads.
        """
        if self._attention is None:
            raise WeightsError(
                f"this network does not say what its {tokens.shape[1]} tokens look at: leave out "
                f"{EVIT}"
            )
        looks = self._attention.mean(dim=1)
        return looks[:, 0] if self._first else looks.mean(dim=1)


def reduce_tokens(
    vision: nn.Module,
    patches: int,
    method: str,
    share: float | None = None,
    kind: type[TokenReduction] = TokenReduction,
) -> TokenReduction:
    """Have a vision transformer of transformers work with fewer tokens from now on.

    Args:
        vision: the picture side of a model.
        patches: of a picture.
        method: `models.hub.names.EVIT` or `TOME`.
        share: in place of `KEPT` or `MERGED`.
        kind: what to do it by.

    Raises:
        WeightsError: it is no transformer of this kind.
    """
    lists = [one for one in vision.modules() if isinstance(one, nn.ModuleList) and len(one) > 1]
    layers = [one for one in lists if all("Layer" in type(layer).__name__ for layer in one)]
    rotated = any(
        "Rope" in type(one).__name__ or "Rotary" in type(one).__name__ for one in vision.modules()
    )
    if not patches or len(layers) != 1 or rotated:
        raise WeightsError(
            f"{type(vision).__name__} keeps all its tokens: {method} is for CLIP, SigLIP, DINOv2 "
            "and ViT as transformers has them, whose layers do not ask where a token lies"
        )
    share = (KEPT if method == EVIT else MERGED) if share is None else share
    return kind(list(layers[0]), patches, method, share)
