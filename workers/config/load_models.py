"""The encoder and the reranker that the settings name.

Apart from `workers.config.wiring`, so that what only talks to Kafka imports no model.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from threadpoolctl import threadpool_limits

from models.embedding.encoder import Encoder, encoder_id, load_encoder
from models.embedding.protocol import CatalogEncoder
from models.reranking.linear import Reranker, load_reranker, packaged_reranker
from workers.config.sections import MLLM
from workers.config.settings import Settings
from workers.errors import SettingsError


def encoder_of(settings: Settings) -> CatalogEncoder:
    """The encoder, loaded: the standard one, or a vision-language model (`models.encoder`).

    Raises:
        ModelError: weights are missing or don't fit, or an extra is not installed.
    """
    standard = standard_encoder_of(settings)
    models = settings.models
    if not models.encoder.startswith(MLLM):
        return standard
    # By name: only this encoder needs torch and transformers.
    mllm = import_module("models.embedding.mllm")
    folder = Path(models.encoder.removeprefix(MLLM))
    encoder: CatalogEncoder = mllm.load_mllm_encoder(
        folder, standard, models.device, dim=models.dim
    )
    return encoder


def model_id_of(settings: Settings) -> str | None:
    """The model id of what `encoder_of` would load, without loading it.

    None for a vision-language model, whose gigabytes would have to be read.

    Raises:
        ModelError: weights are missing.
    """
    models = settings.models
    if models.encoder.startswith(MLLM):
        return None
    return encoder_id(models.backbone, models.projection, models.dim)


def standard_encoder_of(settings: Settings) -> Encoder:
    """The standard encoder, which can be trained and makes juice for any other; in seconds."""
    # The network's own threads use every core; those of matrix products beside them only get in
    # their way: a query took twice as long with both.
    threadpool_limits(1, user_api="blas")
    models = settings.models
    return load_encoder(
        models.device, models.backbone, models.threads or None, models.projection, models.dim
    )


def reranker_of(settings: Settings, encoder: CatalogEncoder) -> Reranker:
    """The reranker with the parameters that were fitted on this encoder.

    Raises:
        SettingsError: they were fitted on another one, so that its scores would mean nothing.
    """
    models = settings.models
    reranker = load_reranker(models.reranker or packaged_reranker(models.backbone))
    if reranker.parameters.encoder != encoder.model_id:
        raise SettingsError(
            f"the reranker was fitted on {reranker.parameters.encoder}, the encoder is "
            f"{encoder.model_id}: run `lookstream train reranker DIR --out FILE` and set "
            "models.reranker to that file"
        )
    return reranker
