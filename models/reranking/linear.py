"""The linear listwise reranker: compare within chunks, calibrate, merge.

Pailitao-VL's "compare and calibrate" (arXiv 2602.13704v2, §5) with a linear model in place of the
language model: features from stored juice, comparative scores and NULL per chunk, the probability
of each level, and a merge that keeps the order within each chunk. A learned reranker may replace it
behind the same call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from models.embedding.layout import PartWeights
from models.embedding.protocol import Encoded
from models.errors import RerankerError
from models.juicer.juice import Juice
from models.reranking.calibration import LevelModel
from models.reranking.chunks import ABSENT, split
from models.reranking.comparison import Comparison
from models.reranking.features import FEATURES, collect_features
from models.reranking.merge import merge, order
from models.reranking.no_match import none_by_null
from models.reranking.protocol import Candidate, Contribution, Ranked
from models.text.sentence_encoders import DEFAULT
from models.weights import WEIGHTS

__all__ = ["Candidate", "Ranked", "Reranker", "RerankerParameters", "load_reranker"]

Modality = Literal["picture", "text", "both"]
"""What a query consists of. Cosines are distributed differently, so each has its parameters."""


class ModalityParameters(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of one modality."""

    comparison: Comparison
    levels: LevelModel


class ParametersByModality(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of all modalities."""

    picture: ModalityParameters
    text: ModalityParameters
    both: ModalityParameters


class RerankerParameters(msgspec.Struct, frozen=True, kw_only=True):
    """The fitted parameters (`models.training.reranker.linear`).

    Attributes:
        encoder: id of the model whose vectors and juice it was fitted on.
        features: their names, in order.
        known, unknown: for catalogs whose products the encoder recognises, and for others, where
            candidates are retrieved by appearance and reranking has more to add.
        card: how it was fitted, and its cross-validated hit rates.
    """

    format: Literal[2] = 2
    encoder: str
    features: tuple[str, ...] = FEATURES
    known: ParametersByModality
    unknown: ParametersByModality
    card: dict[str, object] = {}


class Reranker:
    """A fitted `ListReranker`; immutable, may be shared between threads."""

    def __init__(self, parameters: RerankerParameters, note: str = "") -> None:
        if parameters.features != FEATURES:
            raise RerankerError(
                f"the parameters are for the features {', '.join(parameters.features)}, this "
                f"version has {', '.join(FEATURES)}; fit again with `lookstream train reranker`"
            )
        self.parameters = parameters
        self.note = note
        self.version = hashlib.sha256(msgspec.json.encode(parameters)).hexdigest()[:12]

    def rerank(
        self,
        query: Encoded,
        query_text: str | None,
        candidates: Sequence[Candidate],
        *,
        explain: bool = False,
    ) -> list[Ranked]:
        """All candidates, best first; with `explain`, what each feature contributed.

        `candidates` are in retrieval order: neighbours share a chunk, and ties go to the earlier.
        Query and candidates may lack picture or text.

        Raises:
            RerankerError: juice made by different models.
        """
        if not candidates:
            return []
        chunks = split(len(candidates))
        features = collect_features(query.juice, query_text, candidates, chunks)
        parameters = self.parameters_for(modality_of(query.juice, query_text), query.weights)
        s, null = parameters.comparison.scores(features)
        probabilities = parameters.levels.probabilities(features)
        present = chunks != ABSENT
        by_candidate = probabilities[present]  # chunks are contiguous: row i is candidate i
        flat_s, flat_null = s[present], np.broadcast_to(null[:, None], s.shape)[present]
        in_chunk = np.nonzero(present)[0]
        contributed = parameters.comparison.contributions(features)[present] if explain else None
        return [
            Ranked(
                index=index,
                score=float(by_candidate[index, 0]),
                level=int(by_candidate[index].argmax()),
                probabilities=tuple(by_candidate[index].tolist()),
                comparison=float(flat_s[index]),
                null=float(flat_null[index]),
                chunk=int(in_chunk[index]),
                why=()
                if contributed is None
                else _why(features[present][index].tolist(), contributed[index].tolist()),
            )
            for index in merge(order(chunks, s), by_candidate[:, 0].tolist())
        ]

    def none_of_these(self, ranked: Sequence[Ranked]) -> float:
        """See `models.reranking.no_match`."""
        return none_by_null(ranked)

    def parameters_for(self, modality: Modality, weights: PartWeights) -> ModalityParameters:
        """The parameters for queries of one modality to a catalog with these part weights."""
        by_modality = self.parameters.known if weights.recognised else self.parameters.unknown
        parameters: ModalityParameters = getattr(by_modality, modality)
        return parameters


def _why(values: Sequence[float], contributions: Sequence[float]) -> tuple[Contribution, ...]:
    return tuple(
        Contribution(name, None if np.isnan(value) else value, contribution)
        for name, value, contribution in zip(FEATURES, values, contributions, strict=True)
    )


def modality_of(query: Juice, query_text: str | None) -> Modality:
    """The query's modality; without picture and text it is treated as a picture."""
    if not query_text:
        return "picture"
    return "both" if query.has_picture else "text"


def packaged_reranker(backbone: str = "lite2", text: str = DEFAULT) -> Path:
    """The packaged parameters for a backbone and a sentence encoder; there may be none."""
    suffix = "" if text == DEFAULT else f"-{text}"
    return WEIGHTS / f"reranker-{Path(backbone).name}{suffix}.json"


def load_reranker(path: Path | None = None) -> Reranker:
    """Read fitted parameters, by default those for the default encoder.

    Raises:
        RerankerError: the file is missing, damaged, or for other features.
    """
    path = path or packaged_reranker()
    try:
        parameters = msgspec.json.decode(path.read_bytes(), type=RerankerParameters)
    except FileNotFoundError as error:
        raise RerankerError(
            f"{path} is missing; `lookstream train reranker DIR` writes it"
        ) from error
    except msgspec.DecodeError as error:
        raise RerankerError(
            f"{path} cannot be read ({error}); fit again with `lookstream train reranker`"
        ) from error
    return Reranker(parameters)
