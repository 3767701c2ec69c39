"""What the files of a vision-language model say, without loading it and without torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from models.backbone.tower_files import fingerprint, id_name, read_json
from models.errors import WeightsError
from models.text.sentence_encoders import DEFAULT as DEFAULT_TEXT

LONGEST = 2048
"""Values of a vector at most; wider models are cut to it, which Matryoshka training allows."""

RULES_VERSION = "2"
"""Part of the model id: raise it when the prompts or what goes into them change."""


def mllm_id(folder: Path, juicer_id: str, dim: int | None = None, text: str = DEFAULT_TEXT) -> str:
    """The model id of what `models.embedding.mllm_encoder` loads; the files are only hashed.

    What was fetched from a hub was hashed then; a folder's gigabytes take seconds.

    Raises:
        WeightsError: the files are not there, or the vectors are shorter.
    """
    parts = (RULES_VERSION, fingerprint(folder), juicer_id)
    digest = hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:8]
    return f"{id_name(folder.resolve().name)}-{text}-{length_of(folder, dim)}-{digest}"


def length_of(folder: Path, dim: int | None) -> int:
    """How long the vectors are: ``dim``, or the model's own length up to `LONGEST`.

    Raises WeightsError: the model's are shorter than ``dim``.
    """
    config = read_json(folder, "config.json")
    width = (config.get("text_config") or config).get("hidden_size")
    if not isinstance(width, int):
        raise WeightsError(f"config.json in {folder} does not say how wide the model is")
    if dim and dim > width:
        raise WeightsError(
            f"models.dim is {dim}, and the vectors of the model in {folder} have {width} values"
        )
    return dim or min(width, LONGEST)
