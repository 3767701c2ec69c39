"""Encoders of a hub at their true shapes with random weights: how fast, how large, how exact."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import tokenizers
import torch
import transformers
from safetensors.torch import save_file

from models.backbone.load import load_backbone
from models.backbone.spec import BACKBONES
from models.backbone.tower import PictureTower
from models.backbone.tower_export import export_towers
from models.backbone.tower_files import read_card
from models.hub.architecture import CONFIGS, whole_network
from models.hub.presets import PRESETS, Preset
from workers.progress.tasks import Progress

REFERENCE = "lite2"
ROUNDS, THREADS = 15, 2
WORDS = 1000
"""Of the vocabulary, which is in memory and is not computed with; the true ones have 250,000."""

LOADED = """
import resource, sys
from pathlib import Path
import numpy as np
from models.backbone.tower import PictureTower
import onnxruntime
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 1e6
before = resident()
tower = PictureTower(Path(sys.argv[1]), threads=2)
tower.run(np.zeros((3, int(sys.argv[2]), int(sys.argv[2])), np.float32))
print(resident() - before)
"""


def measure_presets(names: Sequence[str] | None, bars: Progress) -> dict[str, Any]:
    """A row for each preset, and for lite2: see `benchmarks.encoders`."""
    networks = {name: preset for name, preset in PRESETS.items() if preset.kind != "mllm"}
    chosen = [preset for name, preset in networks.items() if names is None or name in names]
    spec = BACKBONES[REFERENCE]
    reference = load_backbone(spec, threads=THREADS)
    canvas = np.zeros((1, 3, spec.size, spec.size), np.float32)
    rows = []
    for preset in bars.track(chosen, "measuring encoders", len(chosen)):
        with tempfile.TemporaryDirectory() as scratch:
            folder, exported = Path(scratch) / preset.name, Path(scratch) / "exported"
            make_folder(preset, folder)
            export_towers(folder, exported)
            rows.append(_measured(preset, exported, lambda: reference.patches(canvas)))
    return {
        "presets": rows,
        "onnx_difference_max": max((row["onnx_difference"] for row in rows), default=0.0),
    }


def make_folder(preset: Preset, folder: Path) -> None:
    """A folder as the hub has it, with random weights and a vocabulary of `WORDS`."""
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    if preset.kind == "two-tower":
        _save_tokenizer(folder)
    if preset.library == "timm":
        network = whole_network(preset)
        save_file(network.state_dict(), folder / "model.safetensors")
        kept = ("input_size", "interpolation", "crop_pct", "crop_mode", "mean", "std")
        config = {
            "architecture": preset.architecture.partition(".")[0],
            "num_classes": network.num_classes,
            "pretrained_cfg": {name: network.pretrained_cfg.get(name) for name in kept},
        }
        (folder / "config.json").write_text(json.dumps(config))
        return
    if preset.library == "open_clip":
        network = whole_network(preset)
        save_file(network.state_dict(), folder / "open_clip_model.safetensors")
        made_of = {
            "model_cfg": open_clip.get_model_config(preset.architecture),
            "preprocess_cfg": network.visual.preprocess_cfg,
        }
        (folder / "open_clip_config.json").write_text(json.dumps(made_of))
        return
    kind: Any = getattr(transformers, preset.architecture)
    config = {
        name: dict(one) if isinstance(one, dict) else one
        for name, one in CONFIGS[preset.name].items()
    }
    if preset.kind == "two-tower":
        ends = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
        config["text_config"] = {**config.get("text_config", {}), "vocab_size": WORDS, **ends}
    kind(kind.config_class(**config)).eval().save_pretrained(folder)
    size = {"height": preset.size, "width": preset.size}
    (folder / "preprocessor_config.json").write_text(json.dumps({"size": size, "resample": 3}))


def _save_tokenizer(folder: Path) -> None:
    """One word a token: what a picture tower is measured by does not depend on it."""
    words = {f"w{number}": number for number in range(3, WORDS)}
    made = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({"<s>": 0, "<pad>": 1, "</s>": 2, **words}, "<pad>")
    )
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"pad_token": "<pad>"}')


def _measured(preset: Preset, exported: Path, reference: Callable[[], object]) -> dict[str, Any]:
    card = read_card(exported)
    size = card.preprocessing.size
    tower = PictureTower(exported, THREADS)
    picture = np.zeros((3, size, size), np.float32)
    # Taking turns, so that other load on the machine slows both; the least counts.
    rounds = [(_seconds(lambda: tower.run(picture)), _seconds(reference)) for _ in range(ROUNDS)]
    own, other = map(min, zip(*rounds, strict=True))
    loaded = subprocess.run(
        [sys.executable, "-c", LOADED, str(exported), str(size)],
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        "name": preset.name,
        "ms": round(1000 * own, 1),
        f"{REFERENCE}_ms": round(1000 * other, 1),
        f"of_{REFERENCE}": round(own / other, 2),
        "parameters": preset.parameters,
        "picture_parameters": preset.picture_parameters,
        "picture_mb": round(float(loaded.stdout)),
        "onnx_difference": card.difference,
    }


def _seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began
