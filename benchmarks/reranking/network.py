"""The listwise network: a small transformer over [query, NULL, candidates of a chunk].

As in Pailitao-VL (arXiv 2602.13704v2, §5.1 and §5.4) one pass compares the candidates of a chunk
with each other and with NULL, "none of them", and scores each absolutely. Tokens are made of match
features in place of pictures and words, so that it learns how to compare and not which products;
and nothing says at which place a candidate comes, so that their order does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.reranking.matches import FEATURES

LEVELS = 4
START = 2 * len(FEATURES) + FEATURES.index("similarity")
"""The similarity as it stands out from the list: what lists are ordered by at first."""


@dataclass(frozen=True)
class Size:
    """How large a network is."""

    width: int = 64
    heads: int = 4
    layers: int = 2
    dropout: float = 0.1


class ListwiseNetwork(nn.Module):
    """Takes standardised inputs; gives s, s_NULL and the logits of the levels.

    Args:
        inputs: of a candidate.
        context: of a list.
        compares: whether candidates see each other; if not, it is the pointwise network.
    """

    def __init__(self, inputs: int, context: int, size: Size, *, compares: bool = True) -> None:
        super().__init__()
        self.compares = compares
        self.candidate = nn.Sequential(
            nn.Linear(inputs + context, size.width), nn.GELU(), nn.Linear(size.width, size.width)
        )
        self.query = nn.Linear(context, size.width)
        self.null = nn.Linear(context, size.width)
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.layers))
        self.norm = nn.LayerNorm(size.width)
        self.comparative = nn.Linear(size.width, 1)
        self.absolute = nn.Sequential(
            nn.Linear(2 * size.width, size.width), nn.GELU(), nn.Linear(size.width, LEVELS)
        )
        # It begins with the order of retrieval, and with a product being likelier, the more it
        # stands out.
        self.direct = nn.Linear(inputs, 1, bias=False)
        self.slope = nn.Parameter(torch.tensor(1.0))
        nn.init.zeros_(self.comparative.weight)
        nn.init.zeros_(self.direct.weight)
        with torch.no_grad():
            self.direct.weight[0, START] = 1.0
        last = self.absolute[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)

    def forward(
        self, candidates: Tensor, context: Tensor, present: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compare chunks.

        Args:
            candidates: (chunks, size, inputs).
            context: of the list that each chunk is of, (chunks, context).
            present: 1 where there is a candidate, 0 for padding, (chunks, size).

        Returns:
            s (chunks, size), s_NULL (chunks,), logits (chunks, size, 4).
        """
        repeated = context[:, None].expand(-1, candidates.shape[1], -1)
        tokens = torch.cat(
            [
                self.query(context)[:, None],
                self.null(context)[:, None],
                self.candidate(torch.cat([candidates, repeated], dim=2)),
            ],
            dim=1,
        )
        seen = functional.pad(present, (2, 0), value=1.0)
        count = tokens.shape[1]
        if self.compares:
            bias = (seen[:, None, :] - 1) * 1e4
        else:
            eye = torch.eye(count)
            eye[:, 0] = 1
            bias = ((eye - 1) * 1e4)[None].expand(len(tokens), -1, -1)
        for block in self.blocks:
            tokens = block(tokens, bias)
        tokens = self.norm(tokens)
        scores = self.comparative(tokens[:, 1:])[..., 0]
        null, s = scores[:, 0], scores[:, 1:] + self.direct(candidates)[..., 0]
        each = tokens[:, 2:]
        query = tokens[:, :1].expand(-1, each.shape[1], -1)
        logits = self.absolute(torch.cat([query, each], dim=2))
        instance = logits[..., :1] + self.slope * (s - null[:, None])[..., None]
        return s, null, torch.cat([instance, logits[..., 1:]], dim=2)


class Block(nn.Module):
    """Attention and a two-layer map, each after normalisation and added to what was there."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.heads = size.heads
        self.before = nn.LayerNorm(size.width)
        self.qkv = nn.Linear(size.width, 3 * size.width)
        self.out = nn.Linear(size.width, size.width)
        self.between = nn.LayerNorm(size.width)
        self.map = nn.Sequential(
            nn.Linear(size.width, 2 * size.width),
            nn.GELU(),
            nn.Dropout(size.dropout),
            nn.Linear(2 * size.width, size.width),
        )
        self.drop = nn.Dropout(size.dropout)

    def forward(self, tokens: Tensor, bias: Tensor) -> Tensor:
        """Tokens (chunks, n, width) with ``bias`` (chunks, n or 1, n) on their attention."""
        chunks, count, width = tokens.shape
        qkv = self.qkv(self.before(tokens)).reshape(chunks, count, 3, self.heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        logits = query @ key.transpose(-1, -2) / (width // self.heads) ** 0.5
        attended = torch.softmax(logits + bias[:, None], dim=-1) @ value
        joined = attended.transpose(1, 2).reshape(chunks, count, width)
        tokens = tokens + self.drop(self.out(joined))
        added: Tensor = self.drop(self.map(self.between(tokens)))
        return tokens + added
