"""The encoder and the reranker that the settings name.

Not in `workers.config.wiring`, so that what needs only Kafka imports no model.
"""

from __future__ import annotations

from threadpoolctl import threadpool_limits

from models.embedding.encoder import Encoder, load_encoder
from models.reranking.linear import Reranker, load_reranker, packaged_reranker
from workers.config.settings import Settings
from workers.errors import SettingsError


def encoder_of(settings: Settings) -> Encoder:
    """The encoder, loaded; a minute the first time on a machine, seconds after."""
    # The network's own threads use every core; those of matrix products beside them only get in
    # their way: a query took twice as long with both.
    threadpool_limits(1, user_api="blas")
    models = settings.models
    return load_encoder(
        models.device, models.backbone, models.threads or None, models.projection, models.dim
    )


def reranker_of(settings: Settings, encoder: Encoder) -> Reranker:
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
