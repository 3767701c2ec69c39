"""Packages that serving does not need, and the extra of ours that brings each."""

from __future__ import annotations

EXTRAS = {
    "emoji": "train",
    "filelock": "hub",
    "huggingface_hub": "hub",
    "matplotlib": "train",
    "onnx": "train",
    "onnx_ir": "train",
    "onnxscript": "train",
    "open_clip": "hub",
    "peft": "mllm-train",
    "psutil": "bench",
    "pyvista": "synthetic",
    "scipy": "train",
    "sklearn": "train",
    "timm": "train",
    "torch": "train",
    "torchvision": "train",
    "transformers": "mllm",
    "vtkmodules": "synthetic",
}


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """What to say of a package that is not installed; None of one that always should be."""
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        return None
    return f"this needs {package}: run `pip install 'lookstream[{EXTRAS[package]}]'`"
