"""The picture tower of a folder in torch on CUDA: bf16, batches of one fixed shape, a CUDA graph.

As `models.backbone.cuda` for the packaged networks. Words stay on the CPU: a query has one text.
"""

from __future__ import annotations

import threading
from pathlib import Path

import torch

from models.arrays import Floats
from models.backbone.cuda_graph import recorded
from models.backbone.tower import TowerOutput
from models.backbone.tower_network import load_towers

FIXED_BATCH = 32


class TorchPictureTower:
    """The tower in torch and bf16: for CUDA; on the CPU only tests use it.

    Raises WeightsError: the folder holds no network that can be used.
    """

    def __init__(
        self, folder: Path, size: int, device: str = "cuda", *, fewer_tokens: str = ""
    ) -> None:
        network, _, _ = load_towers(folder, size, fewer_tokens)
        network = network.to(device, torch.bfloat16)
        self._device = device
        self._lock = threading.Lock()
        self._padded = torch.zeros(FIXED_BATCH, 3, size, size)
        if device == "cuda":
            self._padded = self._padded.pin_memory()
        with torch.inference_mode():
            self._network = recorded(network, self._sent())

    def run_batch(self, pictures: Floats) -> list[TowerOutput]:
        """See `models.backbone.tower.Tower.run_batch`."""
        done = []
        # The buffers are one thread's at a time.
        with self._lock, torch.inference_mode():
            for start in range(0, len(pictures), FIXED_BATCH):
                chunk = pictures[start : start + FIXED_BATCH]
                # One fixed shape: the kernels chosen, and so the sums, never depend on the batch.
                self._padded[: len(chunk)] = torch.from_numpy(chunk)
                self._padded[len(chunk) :] = 0
                made = [one.float().cpu().numpy() for one in self._network(self._sent())]
                done += [TowerOutput(*(one[at] for one in made)) for at in range(len(chunk))]
        return done

    def _sent(self) -> torch.Tensor:
        return self._padded.to(self._device, torch.bfloat16)
