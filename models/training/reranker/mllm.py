"""Training a vision-language model to rerank: `lookstream train reranker --mllm` calls it.

Pailitao-VL (arXiv 2602.13704v2, §5): the losses of `models.training.reranker.mllm_losses` on chunks
of ranking lists; learning rate 5e-6, warm-up 0.03, batch 64, 5 epochs. With LoRA (Hu et al. 2021)
only low-rank changes of the language model's linear layers are trained, by twenty times that rate,
and merged into its weights at the end, so that serving knows nothing of it.

What is written is a folder: model, processor, and the head that gives absolute scores.
"""

from __future__ import annotations

import math
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.backbone.tower_files import fingerprint, read_json
from models.catalog.folder import read_catalog
from models.embedding.protocol import SearchEncoder
from models.errors import RerankerError, TrainingError
from models.progress import Phases, no_phases, of_phase
from models.reranking.absolute_head import AbsoluteHead, save_head
from models.reranking.mllm import MllmComparer, Passed, load_mllm_comparer
from models.training.reranker.mllm_checkpoint import load_checkpoint, save_checkpoint
from models.training.reranker.mllm_chunks import Chunk, Pictures, chunks_of, hold_out
from models.training.reranker.mllm_losses import PADDING, right_answers, total_loss
from models.training.reranker.ranking_lists import make_ranking_lists

INSTALL = "LoRA needs peft: `pip install 'lookstream[mllm-train]'`"
LORA_LAYERS = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
LORA_RANK = 16
CHECKPOINT = "checkpoint.safetensors"
EXAMINED = 200
"""Chunks of held-out products at most, by which before and after are compared."""


@dataclass(frozen=True)
class MllmRecipe:
    """How it is trained.

    Attributes:
        epochs: passes over all chunks.
        batch: chunks of one step.
        together: of these, in one forward pass.
        rate: the largest learning rate of the model; None for 5e-6, or 1e-4 with LoRA.
        head_rate: that of the head, which starts from nothing.
        warm_up: share of steps in which rates rise.
        lora: rank of the changes; None trains all weights.
        depth: candidates of a query, so many chunks of ten.
        limit: about so many photos of each folder.
        splits: of photos.jsonl; None as `make_ranking_lists` has it.
        seed: of draws and of what starts from nothing.
        checkpoint_every: steps between checkpoints.
    """

    epochs: int = 5
    batch: int = 64
    together: int = 1
    rate: float | None = None
    head_rate: float = 1e-3
    warm_up: float = 0.03
    lora: int | None = None
    depth: int = 20
    limit: int | None = 1500
    splits: tuple[str, ...] | None = None
    seed: int = 0
    checkpoint_every: int = 50

    @property
    def model_rate(self) -> float:
        """The learning rate of the model."""
        return self.rate or (5e-6 if self.lora is None else 1e-4)


def train_mllm(
    model: Path,
    folders: Sequence[Path],
    encoder: SearchEncoder,
    to: Path,
    recipe: MllmRecipe = MllmRecipe(),
    *,
    device: str = "auto",
    progress: Phases = no_phases,
) -> dict[str, object]:
    """Train, and write the folder `to`; its report.

    Checkpoints are kept beside it, from which the same call goes on; they are removed at the end.

    Args:
        model: a folder with a Qwen3-VL.
        folders: catalog folders.
        encoder: what retrieves the candidates.
        to: must not be there yet, or be empty.
        recipe: how.
        device: "cpu", "cuda" or "auto".
        progress: of lists, of steps and of both exams.

    Raises:
        TrainingError: `to` has something in it, peft is missing, a checkpoint is of other options,
            or the loss is no number any more.
        WeightsError, CatalogError, PictureError, RerankerError: something cannot be read.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise TrainingError(f"{to} is there already: remove it, or give another --out")
    if recipe.lora is not None and find_spec("peft") is None:
        raise TrainingError(INSTALL)
    catalogs = [read_catalog(folder) for folder in folders]
    chunks: list[Chunk] = []
    for number, catalog in enumerate(catalogs):
        lists = make_ranking_lists(
            encoder,
            catalog,
            recipe.splits,
            limit=recipe.limit,
            depth=recipe.depth,
            seed=recipe.seed,
            progress=of_phase(progress, f"encoding {catalog.folder.name}"),
        )
        chunks += [chunk for one in lists.values() for chunk in chunks_of(one, number)]
    learned, held = hold_out(chunks)
    if not learned:
        raise RerankerError("too few products with photos to hold some out and learn from others")
    learns_from: dict[str, object] = {
        "model": model.name,
        "catalogs": [catalog.folder.name for catalog in catalogs],
        "encoder": encoder.model_id,
        **asdict(recipe),
        "chunks": len(learned),
    }
    run = _Run(model, recipe, device, Pictures(catalogs), learned)
    held = random.Random(recipe.seed).sample(held, min(EXAMINED, len(held)))
    work = to.with_name(f"{to.name}-training") / CHECKPOINT
    before = run.examine(held, of_phase(progress, "examining before"))
    run.train(work, {**learns_from, "weights": fingerprint(model)}, progress)
    after = run.examine(held, of_phase(progress, "examining after"))
    report: dict[str, object] = {
        **learns_from,
        "steps": run.steps,
        "first_loss": run.losses[0],
        "last_loss": run.losses[-1],
        "held_out": {"chunks": len(held), "before": before, "after": after},
    }
    run.write(to, report)
    shutil.rmtree(work.parent, ignore_errors=True)
    return report


class _Run:
    """One run: the model as it is trained."""

    def __init__(
        self,
        model: Path,
        recipe: MllmRecipe,
        device: str,
        pictures: Pictures,
        chunks: Sequence[Chunk],
    ) -> None:
        self._source = model
        self._recipe = recipe
        self._pictures = pictures
        self._chunks = chunks
        self._comparer = load_mllm_comparer(model, device, to_train=True)
        torch.manual_seed(recipe.seed)
        if self._comparer.head is None:
            head = AbsoluteHead(self._comparer.width)
            self._comparer.head = head.to(self._comparer.model.device)
        self._adapted = None if recipe.lora is None else _with_lora(self._comparer.model, recipe)
        self._trained = _trained(self._comparer)
        self._optimizer = torch.optim.AdamW(
            [
                {"params": _of_head(self._trained, False), "peak": recipe.model_rate},
                {"params": _of_head(self._trained, True), "peak": recipe.head_rate},
            ],
            lr=recipe.model_rate,
            weight_decay=0.01,
        )
        self._steps_each = math.ceil(len(chunks) / recipe.batch)
        self.steps = recipe.epochs * self._steps_each
        self.losses: list[float] = []

    def train(self, checkpoint: Path, known: Mapping[str, object], progress: Phases) -> None:
        """Take all steps that a checkpoint of a run with the same `known` does not have."""
        first, self.losses = load_checkpoint(checkpoint, self._trained, self._optimizer, known)
        progress("training", first, self.steps)
        for step in range(first, self.steps):
            self.losses.append(self._step(step))
            if (step + 1) % self._recipe.checkpoint_every == 0 and step + 1 < self.steps:
                save_checkpoint(
                    checkpoint, self._trained, self._optimizer, known, step + 1, self.losses
                )
            progress("training", step + 1, self.steps)

    def examine(self, chunks: Sequence[Chunk], progress: Any) -> dict[str, float]:
        """Mean loss, and the share of chunks that are answered rightly; nothing of no chunks."""
        losses, right = [], []
        with torch.no_grad():
            for done, chunk in enumerate(chunks):
                passed, levels, present = self._pass([chunk])
                losses.append(float(self._loss(passed, levels, present)))
                right.append(bool(right_answers(passed, levels, present)[0]))
                progress(done + 1, len(chunks))
        if not chunks:
            return {}
        return {"loss": round(float(np.mean(losses)), 4), "right": round(float(np.mean(right)), 4)}

    def write(self, to: Path, card: Mapping[str, object]) -> None:
        """Write the folder, which is there once it is whole."""
        model, head = self._comparer.model, self._comparer.head
        assert head is not None  # noqa: S101 - made at the start
        if self._adapted is not None:
            model = self._adapted.merge_and_unload()
        config = read_json(self._source, "config.json")
        stored = config.get("dtype") or config.get("torch_dtype")
        if stored in ("bfloat16", "float16"):
            model = model.to(getattr(torch, stored))
        part = to.with_name(f"{to.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        model.save_pretrained(part, safe_serialization=True)
        self._comparer.processor.save_pretrained(part)
        save_head(head, part, dict(card))
        if to.is_dir():
            to.rmdir()
        part.rename(to)

    def _step(self, step: int) -> float:
        recipe = self._recipe
        for group in self._optimizer.param_groups:
            group["lr"] = group["peak"] * schedule(step, self.steps, recipe.warm_up)
        batch = self._batch(step)
        total = 0.0
        for start in range(0, len(batch), recipe.together):
            some = batch[start : start + recipe.together]
            loss = self._loss(*self._pass(some)) * (len(some) / len(batch))
            torch.autograd.backward(loss)
            total += float(loss.detach())
        if not math.isfinite(total):
            raise TrainingError(
                f"the loss of step {step + 1} is {total}: try a lower rate, or LoRA (--lora)"
            )
        nn.utils.clip_grad_norm_(list(self._trained.values()), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return total

    def _batch(self, step: int) -> list[Chunk]:
        """The chunks of a step: those of an epoch in an order that is drawn for it."""
        epoch, place = divmod(step, self._steps_each)
        rng = random.Random(f"{self._recipe.seed}/{epoch}")
        order = rng.sample(range(len(self._chunks)), len(self._chunks))
        size = self._recipe.batch
        inside = random.Random(f"{self._recipe.seed}/{epoch}/{place}")
        return [
            self._chunks[at].shuffled(inside) for at in order[place * size : (place + 1) * size]
        ]

    def _pass(self, chunks: Sequence[Chunk]) -> tuple[Passed, Tensor, Tensor]:
        batch = self._comparer.prepare([self._pictures.question(one) for one in chunks])
        with _bfloat16_on_gpu(self._comparer.model.device.type):
            passed = self._comparer.forward(batch)
        size = max(len(one.levels) for one in chunks)
        levels = torch.full((len(chunks), size), PADDING)
        present = torch.zeros((len(chunks), size), dtype=torch.long)
        for at, one in enumerate(chunks):
            levels[at, : len(one.levels)] = torch.tensor(one.levels)
            present[at, : len(one.levels)] = 1
        device = passed.scores.device
        return passed, levels.to(device), present.to(device)

    def _loss(self, passed: Passed, levels: Tensor, present: Tensor) -> Tensor:
        comparer = self._comparer
        return total_loss(passed, levels, present, comparer.index_tokens, comparer.null_token)


def schedule(step: int, steps: int, warm_up: float) -> float:
    """The share of the largest rate, 0 to 1: rising, then falling as a cosine."""
    rising = max(1, math.ceil(warm_up * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


@contextmanager
def _bfloat16_on_gpu(device: str) -> Iterator[None]:
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        yield


def _with_lora(model: Any, recipe: MllmRecipe) -> Any:
    """The same model with low-rank changes, which alone are trained."""
    library: Any = import_module("peft")  # an optional extra
    assert recipe.lora is not None  # noqa: S101 - asked before
    config = library.LoraConfig(
        r=recipe.lora, lora_alpha=2 * recipe.lora, lora_dropout=0.0, target_modules=LORA_LAYERS
    )
    return library.get_peft_model(model, config)


def _trained(comparer: MllmComparer) -> dict[str, nn.Parameter]:
    """What is trained, by name; the head's begin with "head."."""
    assert comparer.head is not None  # noqa: S101 - made at the start
    of_model = comparer.model.named_parameters()
    found = {f"model.{name}": one for name, one in of_model if one.requires_grad}
    return found | {f"head.{name}": one for name, one in comparer.head.named_parameters()}


def _of_head(trained: Mapping[str, nn.Parameter], of_head: bool) -> list[nn.Parameter]:
    return [one for name, one in trained.items() if name.startswith("head.") == of_head]
