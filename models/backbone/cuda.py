"""The backbone in torch on CUDA: bf16, channels-last, batches of one fixed shape, a CUDA graph."""

from __future__ import annotations

import threading
from functools import partial

import numpy as np

from models.arrays import Floats
from models.backbone.protocol import no_rows
from models.backbone.spec import BackboneSpec

FIXED_BATCH = 32


class TorchBackbone:
    """The network in torch, bf16 and channels-last: for CUDA; on the CPU only tests use it."""

    def __init__(self, spec: BackboneSpec, device: str = "cuda") -> None:
        import torch  # noqa: PLC0415  half a second that serving on ONNX never needs

        from models.backbone.cuda_graph import recorded  # noqa: PLC0415
        from models.backbone.patch_network import patch_network  # noqa: PLC0415

        network, self.layout = patch_network(spec)
        network = network.to(device, torch.bfloat16).to(memory_format=torch.channels_last)
        self._lock = threading.Lock()
        self._padded = torch.zeros(FIXED_BATCH, 3, spec.size, spec.size)
        if device == "cuda":
            self._padded = self._padded.pin_memory()
        self._send = partial(
            self._padded.to, device, torch.bfloat16, memory_format=torch.channels_last
        )
        self._network = recorded(network, self._send())

    def patches(self, pictures: Floats) -> Floats:
        """See ``Backbone.patches``."""
        return np.concatenate([no_rows(self.layout), *(rows for rows, _ in self._run(pictures))])

    def trunks(self, pictures: Floats) -> tuple[Floats, Floats]:
        """See ``Backbone.trunks``; at least one picture."""
        rows, trunks = zip(*self._run(pictures), strict=True)
        return np.concatenate(rows), np.concatenate(trunks)

    def _run(self, pictures: Floats) -> list[tuple[Floats, Floats]]:
        import torch  # noqa: PLC0415

        done = []
        # The buffers are one thread's at a time.
        with self._lock, torch.inference_mode():
            for start in range(0, len(pictures), FIXED_BATCH):
                chunk = pictures[start : start + FIXED_BATCH]
                # One fixed shape: the kernels chosen, and so the sums, never depend on the batch.
                self._padded[: len(chunk)] = torch.from_numpy(chunk)
                self._padded[len(chunk) :] = 0
                made = self._network(self._send())
                rows, trunk = (one[: len(chunk)].float().cpu().numpy() for one in made)
                done.append((rows, trunk))
        return done
