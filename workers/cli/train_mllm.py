"""`lookstream train reranker --mllm`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workers.cli.console import finish, say
from workers.progress.open import open_progress


def train_mllm_reranker(
    model: str,
    catalogs: Sequence[Path],
    to: Path,
    *,
    lora: bool,
    epochs: int,
    rate: float | None,
    limit: int,
    splits: Sequence[str] | None,
    seed: int,
    quiet: bool,
    json: bool,
) -> None:
    """Train a vision-language model on lists of the encoder of the settings, and report."""
    from models.hub.resolve import local_folder
    from models.training.reranker.mllm import LORA_RANK, MllmRecipe, train_mllm
    from workers.config.load_models import encoder_of
    from workers.config.settings import load_settings

    settings = load_settings()
    recipe = MllmRecipe(
        epochs=epochs,
        rate=rate,
        lora=LORA_RANK if lora else None,
        limit=limit,
        splits=None if splits is None else tuple(splits),
        seed=seed,
    )
    with open_progress(quiet=quiet) as bars:
        folder = local_folder(model, progress=bars.phases(), offline=settings.models.offline)
        report = train_mllm(
            folder,
            catalogs,
            encoder_of(settings),
            to,
            recipe,
            device=settings.models.device,
            progress=bars.phases(),
        )
    held = report["held_out"]
    if isinstance(held, dict) and held["chunks"]:
        before, after = held["before"], held["after"]
        say(
            f"{held['chunks']} chunks of products held out: {before['right']:.0%} answered rightly "
            f"before, {after['right']:.0%} after"
        )
    else:
        say("no product was held out, since there are so few: what was learned is not known")
    say(f"written: {to}; use it with LOOKSTREAM_MODELS__RERANKER=mllm:{to}")
    finish({"out": str(to), **report}, json)
