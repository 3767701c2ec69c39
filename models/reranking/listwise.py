"""The listwise reranker that asks a vision-language model: compare in chunks, calibrate, merge.

Pailitao-VL's (arXiv 2602.13704v2, §5). A `Comparer` answers one `Question` a chunk with comparative
scores of its candidates and of NULL, and with the probability of each level if it has learned that.
What follows is as in `models.reranking.linear`: a chunk is ordered by its own scores, and chunks
are merged by probabilities.

Where a comparer has no absolute scores, the probability of a candidate is the share that it has of
its chunk's answer, NULL among them; what is left of it is divided between the other levels as
`models.reranking.similarity` does. Such probabilities are not calibrated, which `note` says.

A language model reads a chunk from its beginning to its end: what stands first can matter, unlike
with the linear reranker.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from models.arrays import Doubles, Floats
from models.embedding.protocol import Encoded
from models.errors import RerankerError
from models.images.letterbox import Picture
from models.reranking.chunks import ABSENT, split
from models.reranking.listwise_prompt import Question
from models.reranking.merge import merge, order
from models.reranking.no_match import BY_LOSS, none_by_null
from models.reranking.protocol import Candidate, Contribution, Ranked
from models.reranking.similarity import LEVELS, ratios

UNCALIBRATED = (
    "its probabilities are those of its answers and are not calibrated: `lookstream train reranker "
    "--mllm` adds a head that is"
)
HEADLESS_NOTE = f"the reranker has no head: {UNCALIBRATED}"


@dataclass(frozen=True, eq=False)
class Compared:
    """What a comparer says of one chunk of m candidates.

    Attributes:
        scores: s (m,), larger is better, comparable within the chunk.
        null: s_NULL on the same scale.
        probabilities: of the four levels, (m, 4), rows summing to 1; None where it has no head.
    """

    scores: Doubles
    null: float
    probabilities: Doubles | None = None


class Comparer(Protocol):
    """Compares the documents of chunks. `note` is a sentence about its scores, or ""."""

    note: str

    def compare(self, questions: Sequence[Question], until: float) -> list[Compared]:
        """One answer per chunk, by `until` on the clock of `time.monotonic`.

        Raises:
            RerankerLate: not all are answered by then.
            RerankerError: it cannot answer; the message says what to do.
        """

    def check(self) -> str:
        """What it is, in a few words. Raises RerankerError where it cannot answer."""

    def close(self) -> None:
        """End its connections, if it has any."""
        return


@dataclass(frozen=True, eq=False)
class Shown:
    """What a reranker that looks at pictures is shown, and until when it may look.

    Attributes:
        query: the query's picture; None if it has none.
        candidates: theirs, in their order; None where one cannot be had, and () for none at all.
        until: on the clock of `time.monotonic`.
    """

    query: Picture | None = None
    candidates: Sequence[Picture | None] = ()
    until: float = math.inf


WORDS_ALONE = Shown()


class ListwiseReranker:
    """A `ListReranker` that looks at pictures; threads may share it if they may its comparer."""

    version = ""  # asking it some hundred times would take hours

    def __init__(self, comparer: Comparer) -> None:
        self.comparer = comparer
        self.note = comparer.note

    def rerank(
        self,
        query: Encoded,
        query_text: str | None,
        candidates: Sequence[Candidate],
        *,
        explain: bool = False,
        shown: Shown = WORDS_ALONE,
    ) -> list[Ranked]:
        """All candidates, which come in retrieval order, best first.

        A candidate without a picture is compared by its words, and says so (`Ranked.by_words`).
        With `explain`, how far it is above NULL.

        Raises:
            RerankerLate: it did not answer by `shown.until`.
            RerankerError: it cannot answer; the message says what to do.
        """
        if not candidates:
            return []
        pictures = tuple(shown.candidates) or (None,) * len(candidates)
        chunks = split(len(candidates))
        questions = [
            _question(query_text, shown.query, candidates, pictures, row[row != ABSENT].tolist())
            for row in chunks
        ]
        compared = self.comparer.compare(questions, shown.until)
        s = np.full(chunks.shape, -np.inf)
        for row, (one, question) in enumerate(zip(compared, questions, strict=True)):
            _check(one, len(question.texts))
            s[row, : len(one.scores)] = one.scores
        flat = np.concatenate([one.scores for one in compared])
        null = np.concatenate([np.full(len(one.scores), one.null) for one in compared])
        in_chunk = np.nonzero(chunks != ABSENT)[0]
        similarities = np.array([one.similarity for one in candidates], np.float32)
        by_candidate = _probabilities(compared, similarities)
        return [
            Ranked(
                index=index,
                score=float(by_candidate[index, 0]),
                level=int(by_candidate[index].argmax()),
                probabilities=tuple(by_candidate[index].tolist()),
                comparison=float(flat[index]),
                null=float(null[index]),
                chunk=int(in_chunk[index]),
                why=_why(float(flat[index]), float(null[index])) if explain else (),
                by_words=pictures[index] is None,
            )
            for index in merge(order(chunks, s), by_candidate[:, 0].tolist())
        ]

    def none_of_these(self, ranked: Sequence[Ranked]) -> float:
        """By the largest distance above NULL, as the paper's NULL loss makes it a probability."""
        return none_by_null(ranked, *BY_LOSS)


def _question(
    text: str | None,
    picture: Picture | None,
    candidates: Sequence[Candidate],
    pictures: Sequence[Picture | None],
    chunk: Sequence[int],
) -> Question:
    return Question(
        text=text or "",
        picture=picture,
        texts=tuple(candidates[at].title for at in chunk),
        pictures=tuple(pictures[at] for at in chunk),
    )


def _check(compared: Compared, count: int) -> None:
    """Raise RerankerError for scores that order nothing: those of damaged weights."""
    finite = np.isfinite(compared.scores).all() and math.isfinite(compared.null)
    if compared.probabilities is not None:
        finite = finite and bool(np.isfinite(compared.probabilities).all())
    if not finite or len(compared.scores) != count:
        raise RerankerError(
            "the reranker's scores are no numbers: its weights are damaged, or too large for the "
            "precision it runs in"
        )


def _probabilities(compared: Sequence[Compared], similarities: Floats) -> Doubles:
    """Of the levels, (candidates, 4)."""
    prior: Doubles = LEVELS.probabilities(ratios(similarities)[None, :, None])[0]
    found, start = [], 0
    for one in compared:
        end = start + len(one.scores)
        rows = one.probabilities
        found.append(_shares(one, prior[start:end]) if rows is None else rows)
        start = end
    return np.concatenate(found)


def _shares(compared: Compared, prior: Doubles) -> Doubles:
    """Level 0 by each candidate's share of the answer; the others as `prior` (m, 4) has them."""
    logits = np.append(compared.scores, compared.null)
    exps = np.exp(logits - logits.max())
    instance = (exps / exps.sum())[:-1, None]
    others = prior[:, 1:] / prior[:, 1:].sum(axis=1, keepdims=True)
    return np.concatenate([instance, (1 - instance) * others], axis=1)


def _why(comparison: float, null: float) -> tuple[Contribution, ...]:
    return (Contribution("above_null", comparison - null, comparison - null),)
