"""The reranker of one list, where it looks at pictures: it is shown them, in limited time.

After that time, or where it cannot answer, retrieval's order stands with scores that are estimated
from similarities (`models.reranking.similarity`), and the result says so.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import structlog

from index.item import Item
from models.embedding.protocol import Encoded
from models.errors import ModelError, RerankerError, RerankerLate
from models.images.letterbox import Picture
from models.reranking.listwise import ListwiseReranker, Shown
from models.reranking.protocol import Candidate, ListReranker, Ranked
from models.reranking.similarity import SimilarityReranker
from workers.deploy.telemetry import NOT_RERANKED
from workers.query.candidate_pictures import CandidatePictures
from workers.query.compose import WeighedPicture
from workers.query.rerank import candidate_of

log = structlog.get_logger()

LATE = "the reranker did not answer in time (query.rerank_s): the order is that of retrieval"
FAILED = "the reranker could not answer: the order is that of retrieval"
OF_PICTURES = 0.5
"""The share of the time that fetching pictures may take; the rest is for comparing."""


class PictureReranker:
    """A `ListReranker` for one list.

    Args:
        reranker: what looks.
        pictures: those of candidates.
        picture: the query's own, if it has one.
        like: in place of that, a product that is stored.
        until: on the clock, which is that of `time.monotonic`.

    Attributes:
        note, version: of the reranker.
        not_reranked: why some of what was ranked is in retrieval's order; None where none is.
    """

    def __init__(
        self,
        reranker: ListwiseReranker,
        pictures: CandidatePictures,
        picture: Picture | None,
        like: Candidate | None,
        until: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reranker = reranker
        self._pictures = pictures
        self._picture = picture
        self._like = like
        self._until = until
        self._clock = clock
        self._instead = SimilarityReranker("")
        self._first: ListwiseReranker | SimilarityReranker | None = None
        self.note, self.version = reranker.note, reranker.version
        self.not_reranked: str | None = None

    def rerank(
        self,
        query: Encoded,
        query_text: str | None,
        candidates: Sequence[Candidate],
        *,
        explain: bool = False,
    ) -> list[Ranked]:
        """All candidates, best first; in retrieval's order where there is no other."""
        ranked = None
        if candidates and self.not_reranked is None:
            ranked = self._compared(query, query_text, candidates, explain)
        if self._first is None:
            self._first = self._instead if ranked is None else self._reranker
        if ranked is None:
            return self._instead.rerank(query, query_text, candidates, explain=explain)
        return ranked

    def none_of_these(self, ranked: Sequence[Ranked]) -> float:
        """Of the first candidates that were ranked: as what ranked them tells it."""
        return (self._first or self._instead).none_of_these(ranked)

    def _compared(
        self, query: Encoded, text: str | None, candidates: Sequence[Candidate], explain: bool
    ) -> list[Ranked] | None:
        try:
            shown = self._shown(text, candidates)
            return self._reranker.rerank(query, text, candidates, explain=explain, shown=shown)
        except RerankerLate as error:
            self.not_reranked = LATE
            NOT_RERANKED.labels("late").inc()
            log.warning("not reranked in time", why=str(error))
        except ModelError as error:
            self.not_reranked = FAILED
            NOT_RERANKED.labels("failed").inc()
            log.warning("the reranker cannot answer", why=str(error))
        return None

    def _shown(self, text: str | None, candidates: Sequence[Candidate]) -> Shown:
        left_s = self._until - self._clock()
        if left_s <= 0:
            raise RerankerLate("the queries before it took all of the time (query.rerank_s)")
        like = [self._like] if self._like is not None and self._picture is None else []
        found = self._pictures.get([*like, *candidates], OF_PICTURES * left_s)
        picture = found[0] if like else self._picture
        if picture is None and not text:
            raise RerankerError("the query has no words, and its picture cannot be had")
        return Shown(picture, found[len(like) :], self._until)


class RerankersOf:
    """The rerankers of one query's lists, which share its time.

    Args:
        reranker: the worker's.
        pictures: those of candidates; needed where the reranker looks at them.
        like: a stored product that the query asks by.
        until: for all lists, on the clock of `time.monotonic`.
    """

    def __init__(
        self,
        reranker: ListReranker,
        pictures: CandidatePictures | None,
        like: Item | None = None,
        until: float = math.inf,
    ) -> None:
        self._reranker = reranker
        self._pictures = pictures
        self._like = None if like is None else candidate_of(like, 1.0)
        self._until = until
        self._made: list[PictureReranker] = []

    def __call__(self, picture: Picture | None) -> ListReranker:
        """The reranker of a list that a picture is asked for; None for one without."""
        if not isinstance(self._reranker, ListwiseReranker):
            return self._reranker
        if self._pictures is None:
            raise RerankerError("this reranker looks at pictures, and is shown none here")
        made = PictureReranker(self._reranker, self._pictures, picture, self._like, self._until)
        self._made.append(made)
        return made

    @property
    def not_reranked(self) -> str | None:
        """Why some of the lists are in retrieval's order; None where none is."""
        return next((one.not_reranked for one in self._made if one.not_reranked), None)


def main_picture(pictures: Sequence[WeighedPicture]) -> Picture | None:
    """Of a query's pictures the one that weighs most, as compared by juice; None if none counts."""
    wanted = [one for one in pictures if one.weight > 0]
    return max(wanted, key=lambda one: one.weight).picture if wanted else None
