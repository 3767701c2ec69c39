"""Fitting the reranker on labelled photos: what `lookstream train reranker DIR…` calls.

For an encoder that was not trained on these photos the training split is as unbiased as the
validation split, and larger; for one that was, use `("val",)` only.

There are parameters for catalogs that the encoder recognises and for those that it does not. The
latter are fitted on queries without identity, of the same folder or of another that the encoder
was not trained on, because in an unknown catalog identities are worth less than in either.

How far the comparison may deviate from the retrieval order, the shrinkage, is chosen by
cross-validation with whole products held out, so that weights that fit only these products are not
chosen; of several folders, with whole catalogs held out, since the next one will be another. The
same folds give the hit rates and the calibration error in the parameters' card.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.catalog.folder import read_catalog
from models.embedding.layout import PartWeights
from models.embedding.protocol import SearchEncoder
from models.errors import RerankerError
from models.evaluation.calibration_error import calibration_error
from models.evaluation.metrics import TOLERANCE, Level, hit_rates
from models.progress import Phases, Progress, no_phases, no_progress, of_phase
from models.reranking.chunks import ABSENT
from models.reranking.comparison import Comparison
from models.reranking.linear import ModalityParameters, ParametersByModality, RerankerParameters
from models.reranking.merge import merge, order
from models.training.reranker.fit_calibration import fit_levels
from models.training.reranker.fit_comparison import fit_comparison
from models.training.reranker.ranking_lists import (
    SPLITS,
    UNFITTED,
    RankingLists,
    joined,
    make_ranking_lists,
)
from models.weights.files import replacing

SHRINKAGES = (0.001, 0.003, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
FOLDS = 5
ByModality = dict[str, RankingLists]
WITHOUT_IDENTITY = PartWeights.with_identity(0.0)
"""Of queries to a catalog that the encoder does not recognise."""


def fit_reranker(
    encoder: SearchEncoder,
    folders: Sequence[Path],
    *,
    unknown: Sequence[Path] = (),
    splits: Sequence[str] | None = None,
    limit: int | None = 1500,
    depth: int = 100,
    seed: int = 0,
    progress: Phases = no_phases,
) -> RerankerParameters:
    """Fit all three modalities on photos of catalog folders, at least one.

    The parameters for known catalogs are fitted on those folders that the encoder recognises, or
    on all where it recognises none; those for unknown ones on the others, or on all, without
    identity, where there are no others.

    Args:
        unknown: folders for the parameters of unknown catalogs instead, all of `SPLITS`; such that
            the encoder was not trained on.
        splits: of photos.jsonl; never the one that results are reported on. By default `SPLITS`,
            or views of the products' own pictures where no photo is of these.
        limit: about so many photos of each folder, taken at even steps; None for all.
        depth: candidates per query, as many as will be reranked in service.
        seed: of the synthetic query texts (`models.training.reranker.ranking_lists`).
        progress: of the queries and products encoded, and of the folds fitted.

    Raises:
        CatalogError, PictureError: a folder or a picture cannot be read.
        RerankerError: too few products with photos to hold some out.
    """

    def lists_of(
        source: Path, of: Sequence[str] | None, weights: PartWeights | None = None
    ) -> ByModality:
        return make_ranking_lists(
            encoder,
            read_catalog(source),
            of,
            limit=limit,
            depth=depth,
            seed=seed,
            weights=weights,
            progress=of_phase(progress, f"encoding {source.name}"),
        )

    lists = [lists_of(one, splits) for one in folders]
    recognised = [one for one in lists if one["picture"].weights.recognised]
    others = [one for one in lists if not one["picture"].weights.recognised]
    for_known, known_card = _fit_modalities(recognised or lists, progress)
    if unknown:
        others = [lists_of(one, None, WITHOUT_IDENTITY) for one in unknown]
    elif not others:
        others = [lists_of(one, splits, WITHOUT_IDENTITY) for one in folders]
    for_unknown, unknown_card = for_known, known_card
    if unknown or recognised:
        for_unknown, unknown_card = _fit_modalities(others, progress)
    return RerankerParameters(
        encoder=encoder.model_id,
        known=for_known,
        unknown=for_unknown,
        card={
            "command": _command(folders, unknown, splits, limit, seed),
            "known": {"splits": list(splits or SPLITS), **known_card},
            "unknown": unknown_card,
        },
    )


def _command(
    folders: Sequence[Path],
    unknown: Sequence[Path],
    splits: Sequence[str] | None,
    limit: int | None,
    seed: int,
) -> str:
    """The command that fits these parameters."""
    words = [f"lookstream train reranker {' '.join(one.name for one in folders)} --out FILE"]
    words += [f"--unknown {one.name}" for one in unknown]
    words += [f"--split {split}" for split in splits or SPLITS]
    words += [] if limit is None else [f"--limit {limit}"]
    return " ".join([*words, f"--seed {seed}"])


def _fit_modalities(
    catalogs: Sequence[ByModality], progress: Phases
) -> tuple[ParametersByModality, dict[str, object]]:
    """Parameters of all modalities, and their part of the card."""
    lists = {
        modality: joined([catalog[modality] for catalog in catalogs]) for modality in catalogs[0]
    }
    by_modality = {
        modality: fit_modality(one, of_phase(progress, f"fitting on {modality} queries"))
        for modality, one in lists.items()
    }
    queries, candidates = lists["picture"].levels.shape
    from_views = lists["picture"].from_views
    card = {modality: report for modality, (_, report) in by_modality.items()}
    return (
        ParametersByModality(
            **{modality: parameters for modality, (parameters, _) in by_modality.items()}
        ),
        {
            "catalog": " ".join(dict.fromkeys(lists["picture"].catalogs)),
            "queries": queries,
            "queries_are": "views of the products' pictures" if from_views else "photos",
            "candidates": candidates,
            **card,
        },
    )


def fit_modality(
    lists: RankingLists, progress: Progress = no_progress
) -> tuple[ModalityParameters, dict[str, object]]:
    """Parameters of one modality, and their part of the card.

    Chosen is the strongest shrinkage whose I-HR@1 is not below that of the retrieval order, and
    whose average is within `TOLERANCE` of the best such; if there is none, the strongest of all,
    which hardly changes that order.
    """
    retrieval = hit_rates(lists.levels, lists.relevant)
    trials = cross_validate(lists, SHRINKAGES, progress)
    harmless = [
        shrinkage for shrinkage, rates in trials.items() if rates["i_hr_1"] >= retrieval["i_hr_1"]
    ]
    best = max((trials[one]["average"] for one in harmless), default=0.0)
    good = [one for one in harmless if trials[one]["average"] >= best - TOLERANCE]
    chosen = max(good, default=SHRINKAGES[-1])
    everything = np.arange(len(lists.products))
    card = {
        "shrinkage": chosen,
        "retrieval": _rounded(retrieval),
        "cross_validated": _rounded(trials[chosen]),
    }
    parameters = ModalityParameters(
        comparison=_comparison_on(lists, everything, chosen),
        levels=fit_levels(lists.features, lists.chunk_levels),
    )
    return parameters, card


def cross_validate(
    lists: RankingLists, shrinkages: Sequence[float], progress: Progress = no_progress
) -> dict[float, dict[str, float]]:
    """By shrinkage: hit rates, 0..1, of queries held out of the fit with products or catalogs.

    `calibration_error` is that of the largest r of each list; it does not depend on the shrinkage.
    """
    ranked = {one: np.full_like(lists.levels, Level.IRRELEVANT) for one in shrinkages}
    absolute = np.full(lists.levels.shape, -1.0)
    present = lists.chunks != ABSENT
    folds = list(_folds(lists))
    for number, (fitting, held_out) in enumerate(folds):
        progress(number, len(folds))
        levels = fit_levels(lists.features[fitting], lists.chunk_levels[fitting])
        for query in held_out:
            probabilities = levels.probabilities(lists.features[query])
            instances = probabilities[..., Level.INSTANCE][present[query]]
            absolute[query, : len(instances)] = instances
        for shrinkage in shrinkages:
            comparison = _comparison_on(lists, fitting, shrinkage)
            for query in held_out:
                there = present[query].any(axis=1)
                s, _ = comparison.scores(lists.features[query][there])
                merged = merge(order(lists.chunks[query][there], s), absolute[query].tolist())
                ranked[shrinkage][query, : len(merged)] = lists.levels[query, merged]
    progress(len(folds), len(folds))
    largest = np.arange(len(absolute)), absolute.argmax(axis=1)
    error = calibration_error(absolute[largest], lists.levels[largest] == Level.INSTANCE)
    return {
        shrinkage: {**hit_rates(levels, lists.relevant), "calibration_error": error}
        for shrinkage, levels in ranked.items()
    }


def write_parameters(parameters: RerankerParameters, path: Path) -> None:
    """Write parameters as indented JSON, in one atomic step."""
    with replacing(path) as part:
        part.write_bytes(msgspec.json.format(msgspec.json.encode(parameters), indent=1) + b"\n")


def _comparison_on(lists: RankingLists, queries: NDArray[np.intp], shrinkage: float) -> Comparison:
    there = (lists.chunks[queries] != ABSENT).any(axis=2)  # lists of small catalogs have few chunks
    return fit_comparison(
        lists.features[queries][there], lists.chunk_levels[queries][there], shrinkage=shrinkage
    )


def _folds(lists: RankingLists) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """(fitting, held out) query indices: a catalog is held out whole, or the products of one."""
    from sklearn.model_selection import (  # noqa: PLC0415  serving never needs it
        GroupKFold,
        LeaveOneGroupOut,
    )

    rows, products, catalogs = np.zeros(len(lists.products)), lists.products, lists.catalogs
    if len(set(catalogs)) > 1:
        yield from LeaveOneGroupOut().split(rows, groups=catalogs)
        return
    if len(set(products)) < 2:
        raise RerankerError(
            f"photos of two products or more are needed to hold some out. {UNFITTED}"
        )
    yield from GroupKFold(min(FOLDS, len(set(products)))).split(rows, groups=products)


def _rounded(rates: dict[str, float]) -> dict[str, float]:
    return {key: round(value, 4) for key, value in rates.items()}
