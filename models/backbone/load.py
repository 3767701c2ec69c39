"""Load a backbone for a device."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from models.backbone.exported import is_exported
from models.backbone.onnx import OnnxBackbone
from models.backbone.protocol import Backbone
from models.backbone.spec import BackboneSpec
from models.cache import cache_folder
from models.errors import WeightsError


def load_backbone(spec: BackboneSpec, *, device: str = "cpu", threads: int = 2) -> Backbone:
    """Load a backbone for ``device``: "cpu" (ONNX Runtime) or "cuda" (torch).

    A network that was not exported yet is exported to the cache on its first use.

    Raises:
        WeightsError: no such device; weights are missing or don't fit; or torch is needed and is
            not installed.
    """
    if device == "cuda":
        backbone: Backbone = _torch_module("cuda", "CUDA").TorchBackbone(spec)
        return backbone
    if device != "cpu":
        raise WeightsError(f"unknown device {device!r}: use 'cpu' or 'cuda'")
    return OnnxBackbone(exported_folder(spec), spec.identity_branch, threads)


def exported_folder(spec: BackboneSpec) -> Path:
    """Where the exported network is; exports it if nobody has."""
    if spec.exported is not None:
        return spec.exported
    network = BackboneSpec(spec.timm_name, spec.weights, spec.size)  # whatever the identity branch
    folder = cache_folder() / f"{spec.timm_name}-{network.fingerprint()}"
    if not is_exported(folder):
        _torch_module("export", f"{spec.timm_name} is not exported to ONNX yet, which").export(
            network, folder
        )
    return folder


def _torch_module(name: str, purpose: str):  # type: ignore[no-untyped-def]
    """A module of this room that needs torch: imported by name, so that serving never does."""
    if find_spec("torch") is None:
        raise WeightsError(f"{purpose} needs torch: run `pip install 'lookstream[train]'`")
    return import_module(f"models.backbone.{name}")
