"""Load a backbone for a device."""

from __future__ import annotations

import os
from pathlib import Path

from models.backbone.cuda import TorchBackbone
from models.backbone.export import export_backbone, read_layout
from models.backbone.onnx import OnnxBackbone
from models.backbone.protocol import Backbone
from models.backbone.spec import BackboneSpec
from models.errors import WeightsError


def load_backbone(spec: BackboneSpec, *, device: str = "cpu", threads: int = 2) -> Backbone:
    """Load a backbone for ``device`` ("cpu" or "cuda"); exports the ONNX graph on first use."""
    if device == "cuda":
        return TorchBackbone(spec)
    if device != "cpu":
        raise WeightsError(f"unknown device {device!r}: use 'cpu' or 'cuda'")
    folder = cache_folder() / f"{spec.timm_name}-{spec.fingerprint()}"
    if not (folder / "layout.json").is_file():
        export_backbone(spec, folder)
    return OnnxBackbone(folder / "backbone.onnx", read_layout(folder), threads)


def cache_folder() -> Path:
    """Where exported graphs are kept: LOOKSTREAM_CACHE, else ~/.cache/lookstream."""
    return Path(os.environ.get("LOOKSTREAM_CACHE") or Path.home() / ".cache" / "lookstream")
