"""The encoder and the reranker that the settings name.

Apart from `workers.config.wiring`, so that what only talks to Kafka imports no model.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from threadpoolctl import threadpool_limits

from models.backbone.load import network_folder
from models.backbone.tower_files import is_vision_language
from models.embedding.encoder import Encoder
from models.embedding.load import encoder_id, load_encoder, same_weights
from models.embedding.mllm_files import mllm_id
from models.embedding.protocol import CatalogEncoder
from models.errors import ProjectionError, WeightsError
from models.hub.names import is_hub_name, variant_of
from models.hub.resolve import find_folder, local_folder
from models.reranking.linear import Reranker, load_reranker, packaged_reranker
from models.reranking.protocol import ListReranker
from models.reranking.similarity import SimilarityReranker
from workers.config.chosen_encoder import models_of
from workers.config.mllm_reranker import is_mllm, load_mllm_reranker, mllm_note
from workers.config.sections import ModelSettings
from workers.config.settings import Settings
from workers.progress.lines import Lines

JUICER = "lite2"
"""The packaged encoder that makes juice where the encoder is a vision-language model."""


def encoder_of(settings: Settings) -> CatalogEncoder:
    """The encoder of the catalog in `data_dir`, loaded.

    Raises:
        ModelError: weights are missing or don't fit, or an extra is not installed.
    """
    return encoder_for(models_of(settings))


def encoder_for(models: ModelSettings) -> CatalogEncoder:
    """The encoder that `models.backbone` names, whatever the catalog.

    Raises:
        ModelError: weights are missing or don't fit, or an extra is not installed.
    """
    folder = mllm_folder(models)
    if folder is None:
        return _standard_encoder(models)
    juicer = _standard_encoder(_of_juice(models))
    # By name: only this encoder needs torch and transformers.
    mllm = import_module("models.embedding.mllm_encoder")
    encoder: CatalogEncoder = mllm.load_mllm_encoder(
        folder, juicer, models.device, models.dim, models.text
    )
    return encoder


def model_id_of(settings: Settings) -> str:
    """The model id of what `encoder_of` would load, without loading it.

    Raises:
        ModelError: weights are missing.
    """
    models = models_of(settings)
    folder = mllm_folder(models)
    if folder is None:
        return _standard_id(models)
    return mllm_id(folder, _standard_id(_of_juice(models)), models.dim, models.text)


def mllm_folder(models: ModelSettings) -> Path | None:
    """The folder of the vision-language model that the settings name, fetched if it is not here.

    None where they name a network.

    Raises:
        ModelError: it cannot be fetched, or something is set that such a model has no use for.
    """
    fetch_backbone(models)
    folder = network_folder(models.backbone, offline=models.offline)
    if folder is None or not is_vision_language(folder):
        return None
    if variant := str(variant_of(models.backbone)):
        raise WeightsError(
            f"{models.backbone}: a vision-language model is served as it is: leave out {variant}"
        )
    if models.projection is not None:
        raise ProjectionError(
            f"models.projection is {models.projection}, and {models.backbone} is a vision-language "
            "model, which takes none: remove that setting"
        )
    return folder


def _of_juice(models: ModelSettings) -> ModelSettings:
    """The settings of the packaged encoder, which makes a vision-language model's juice."""
    return models.model_copy(update={"backbone": JUICER, "dim": None})


def _standard_id(models: ModelSettings) -> str:
    return encoder_id(
        models.backbone, models.projection, models.dim, models.text, offline=models.offline
    )


def _standard_encoder(models: ModelSettings) -> Encoder:
    # The network's own threads use every core; those of matrix products beside them only get in
    # their way: a query took twice as long with both.
    threadpool_limits(1, user_api="blas")
    return load_encoder(
        models.device,
        models.backbone,
        models.threads or None,
        models.projection,
        models.dim,
        models.text,
        offline=models.offline,
    )


def fetch_backbone(models: ModelSettings) -> None:
    """Fetch the network that the settings name if it is of a hub and not here.

    How far it is goes to standard error, line by line, so that a log has it too.

    Raises:
        HubError: it cannot be fetched, or must not (`models.offline`).
    """
    if is_hub_name(models.backbone) and find_folder(models.backbone) is None:
        with Lines(sys.stderr) as lines:
            local_folder(models.backbone, progress=lines.phases(), offline=models.offline)


def reranker_of(settings: Settings, encoder: CatalogEncoder) -> ListReranker:
    """The reranker for this encoder; see `reranker_for`."""
    return reranker_for(settings, encoder.model_id)


def reranker_for(settings: Settings, model_id: str) -> ListReranker:
    """The reranker that serves an encoder best: `models.reranker`, the packaged one, or neither.

    One that was fitted on this encoder; else one that was fitted on other lengths of its vectors;
    else `SimilarityReranker`, which needs no fit. So that a newly trained encoder can be used and
    measured at once, a file that does not fit is no error, and the reranker's `note` says so.

    A vision-language model serves any encoder: it looks at pictures.

    Raises:
        RerankerError: the file that `models.reranker` names is missing or damaged.
        WeightsError: the vision-language model that it names is.
    """
    models = models_of(settings)
    if is_mllm(models.reranker):
        return load_mllm_reranker(models)
    named = None if models.reranker is None else Path(models.reranker)
    packaged = packaged_reranker(models.backbone, models.text)
    files = [*([named] if named else []), *([packaged] if packaged.is_file() else [])]
    fitted = [(path, load_reranker(path)) for path in files]
    for path, one in fitted:
        if one.parameters.encoder == model_id:
            note = (
                f"{named} is for another encoder: {path.name} is used" if path != files[0] else ""
            )
            return Reranker(one.parameters, note)
    for path, one in fitted:
        if same_weights(one.parameters.encoder, model_id):
            return Reranker(
                one.parameters,
                f"{path.name} was fitted on vectors of another length ({one.parameters.encoder}) "
                "and is used for these",
            )
    return SimilarityReranker(
        f"no reranker was fitted on the encoder {model_id}"
        + (f" ({named} is for {fitted[0][1].parameters.encoder})" if named else "")
        + ": lists keep the order of retrieval, and scores are estimated from similarities. To fit "
        "one, run `lookstream train reranker DIR --out FILE` and set models.reranker to that file"
    )


def reranker_note(settings: Settings, model_id: str) -> str:
    """The note of `reranker_for`, for which no vision-language model is loaded."""
    models = models_of(settings)
    return mllm_note(models) if is_mllm(models.reranker) else reranker_for(settings, model_id).note
