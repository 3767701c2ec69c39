"""The losses of Pailitao-VL's reranker (arXiv 2602.13704v2, §5) on what a model says of chunks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from models.reranking.mllm import Passed
from models.training.reranker.list_losses import absolute_loss, null_loss, pair_loss

PADDING = 3
"""The level of absent documents, which are left out by `present`."""


def total_loss(
    passed: Passed, levels: Tensor, present: Tensor, index_tokens: Sequence[int], null_token: int
) -> Tensor:
    """L_next-token + L_pair + L_NULL + L_abs, a mean over chunks.

    Args:
        passed: of chunks with a head.
        levels: (chunks, size), 0 to 3.
        present: (chunks, size), 1 or 0.
        index_tokens, null_token: of the tokenizer.
    """
    assert passed.levels is not None  # noqa: S101 - what is trained has a head
    return (
        next_token_loss(passed.vocabulary, levels, present, index_tokens, null_token)
        + pair_loss(passed.scores, levels, present)
        + null_loss(passed.scores, passed.null, levels, present)
        + absolute_loss(passed.levels, levels, present)
    )


def next_token_loss(
    vocabulary: Tensor,
    levels: Tensor,
    present: Tensor,
    index_tokens: Sequence[int],
    null_token: int,
) -> Tensor:
    """Cross-entropy of the answer's first token over the vocabulary (chunks, tokens).

    It is the index of the very product, NULL where there is none; several share it.
    """
    instance = (levels == 0) * present
    none = (instance.sum(1, keepdim=True) == 0).float()
    target = torch.cat([instance.float(), none], dim=1)
    target = target / target.sum(1, keepdim=True)
    answers = [*index_tokens[: levels.shape[1]], null_token]
    logged = functional.log_softmax(vocabulary, dim=1)[:, answers]
    return -(target * logged).sum(1).mean()


def right_answers(passed: Passed, levels: Tensor, present: Tensor) -> Tensor:
    """Which chunks are answered rightly, (chunks,): an instance first, or NULL without one."""
    scores = passed.scores.masked_fill(present == 0, -torch.inf)
    best = torch.cat([scores, passed.null[:, None]], dim=1).argmax(dim=1)
    instance = (levels == 0) * present
    right = torch.cat([instance, instance.sum(1, keepdim=True) == 0], dim=1)
    return right.bool().gather(1, best[:, None]).squeeze(1)
