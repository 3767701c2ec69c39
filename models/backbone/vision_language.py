"""Loading a vision-language model by transformers: from safetensors, without code of its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.errors import WeightsError

INSTALL = "install transformers with `pip install 'lookstream[mllm]'`"


def load_vision_language(
    folder: Path, device: str, auto_class: str, *, to_train: bool = False
) -> tuple[Any, Any]:
    """A model and its processor, from a local folder of safetensors.

    Args:
        folder: with the model, its configuration, tokenizer and processor.
        device: "cpu" (float32), "cuda" (bfloat16), or "auto": CUDA where a device is there.
        auto_class: of transformers: "AutoModel", or "AutoModelForImageTextToText" with a head.
        to_train: in float32 on every device: steps of training are too small for bfloat16.

    Raises:
        WeightsError: transformers is missing, or the folder does not hold such a model.
    """
    try:
        import transformers  # noqa: PLC0415  an optional extra
    except ImportError as error:
        raise WeightsError(f"a vision-language model needs transformers: {INSTALL}") from error
    import torch  # noqa: PLC0415

    library: Any = transformers
    if not list(folder.glob("*.safetensors")):
        raise WeightsError(
            f"{folder} holds no *.safetensors; download the model there with its config.json, "
            "tokenizer and processor files. Other formats are not read: they can run code"
        )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    library.logging.set_verbosity_error()  # it reports the head that is not loaded
    library.logging.disable_progress_bar()
    try:
        processor = library.AutoProcessor.from_pretrained(folder, **local)
        model, info = getattr(library, auto_class).from_pretrained(
            folder,
            use_safetensors=True,
            dtype=torch.bfloat16 if device == "cuda" and not to_train else torch.float32,
            output_loading_info=True,
            **local,
        )
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(
            f"{folder} holds no vision-language model that transformers can load: {error}"
        ) from error
    if missing := sorted(info["missing_keys"]):
        raise WeightsError(
            f"the weights in {folder} lack {len(missing)} tensors of {type(model).__name__}: "
            f"{', '.join(missing[:3])}"
        )
    if not hasattr(processor, "image_processor"):
        raise WeightsError(
            f"{folder} holds a model of text alone; one that reads pictures is needed"
        )
    return model.to(device).eval(), processor
