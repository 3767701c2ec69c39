"""Tensors by name from a file, for networks that torch runs; serving on ONNX needs none of this.

Nothing is loaded that can run code: ``.pth`` files are read with ``weights_only=True``.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from models.errors import WeightsError


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Read tensors by name from ``.safetensors``, ``.pth``, ``.pt`` or ``.bin``, on the CPU."""
    if not path.is_file():
        raise WeightsError(f"no weights at {path}")
    if path.suffix == ".safetensors":
        tensors: dict[str, torch.Tensor] = load_file(path)
        return tensors
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    return dict(loaded.get("state_dict", loaded))
