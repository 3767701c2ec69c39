"""The image backbone: pictures in, patch features at several depths out.

EfficientNet-Lite (Tan and Le 2019, without squeeze-excite) is the default; any timm network with
local weights can take its place. Every feature map is average-pooled to the grid of the last one
(9 × 9 for lite2 at 260 px), so that a patch has one row over all depths.

On the CPU the network runs on ONNX Runtime, one picture at a time: the bytes of an item then never
depend on its neighbours in a batch, which replay needs. On CUDA it runs in torch, bf16 and
channels-last, in batches of one fixed shape, as a CUDA graph.
"""

from __future__ import annotations

import os
import tempfile
import threading
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime
import orjson

from models.errors import WeightsError
from models.juicer.juice import Floats
from models.backbone.spec import BackboneSpec, Layout

FIXED_BATCH = 32


class Backbone(Protocol):
    """A loaded network."""

    @property
    def layout(self) -> Layout:
        """How the rows of ``patches`` are laid out."""
        ...

    def patches(self, pictures: Floats) -> Floats:
        """Features (n, rows × columns, c) of preprocessed pictures (n, 3, s, s)."""
        ...

    def trunks(self, pictures: Floats) -> tuple[Floats, Floats]:
        """The patches, and the shallowest map (n, c, h, w) that a tail is trained on."""
        ...


class OnnxBackbone:
    """The network on ONNX Runtime, CPU."""

    def __init__(self, graph: Path, layout: Layout, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Spinning threads would steal the core from the other workers of the machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            str(graph), options, providers=["CPUExecutionProvider"]
        )
        self.layout = layout

    def patches(self, pictures: Floats) -> Floats:
        """See ``Backbone.patches``."""
        rows = [self._session.run(["patches"], {"picture": one[None]})[0] for one in pictures]
        return np.concatenate(rows) if rows else _no_rows(self.layout)

    def trunks(self, pictures: Floats) -> tuple[Floats, Floats]:
        """See ``Backbone.trunks``; at least one picture."""
        both = [self._session.run(["patches", "trunk"], {"picture": one[None]}) for one in pictures]
        return np.concatenate([one[0] for one in both]), np.concatenate([one[1] for one in both])


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
        return np.concatenate([_no_rows(self.layout), *(rows for rows, _ in self._run(pictures))])

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


def load_backbone(spec: BackboneSpec, *, device: str = "cpu", threads: int = 2) -> Backbone:
    """Load a backbone for ``device`` ("cpu" or "cuda"); exports the ONNX graph on first use."""
    if device == "cuda":
        return TorchBackbone(spec)
    if device != "cpu":
        raise WeightsError(f"unknown device {device!r}: use 'cpu' or 'cuda'")
    folder = cache_folder() / f"{spec.timm_name}-{spec.fingerprint()}"
    if not (folder / "layout.json").is_file():
        _export(spec, folder)
    return OnnxBackbone(folder / "backbone.onnx", _read_layout(folder), threads)


def cache_folder() -> Path:
    """Where exported graphs are kept: LOOKSTREAM_CACHE, else ~/.cache/lookstream."""
    return Path(os.environ.get("LOOKSTREAM_CACHE") or Path.home() / ".cache" / "lookstream")


def _export(spec: BackboneSpec, folder: Path) -> None:
    """Write graph, classifier and layout to ``folder`` in one atomic step."""
    from models.backbone.patch_network import export_onnx, patch_network  # noqa: PLC0415

    network, layout = patch_network(spec)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsError(
            f"the exported network cannot be kept in {folder.parent} ({error.strerror}); "
            "set LOOKSTREAM_CACHE to a folder that can be written"
        ) from error
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".export-") as scratch:
        written = Path(scratch) / "done"
        written.mkdir()
        export_onnx(network, spec.size, written / "backbone.onnx")
        if layout.classifier is not None:
            np.savez(
                written / "classifier.npz", weight=layout.classifier[0], bias=layout.classifier[1]
            )
        card = {
            "grid": layout.grid,
            "widths": layout.widths,
            "labels": layout.labels,
            "identity": layout.identity,
        }
        (written / "layout.json").write_bytes(orjson.dumps(card))
        try:
            written.rename(folder)
        except OSError:
            # Another process was first: its files are the same.
            if not (folder / "layout.json").is_file():
                raise


def _read_layout(folder: Path) -> Layout:
    card = orjson.loads((folder / "layout.json").read_bytes())
    rows, columns = card["grid"]
    classifier = None
    if (folder / "classifier.npz").is_file():
        with np.load(folder / "classifier.npz", allow_pickle=False) as arrays:
            classifier = (arrays["weight"], arrays["bias"])
    return Layout(
        (rows, columns), tuple(card["widths"]), classifier, tuple(card["labels"]), card["identity"]
    )


def _no_rows(layout: Layout) -> Floats:
    width = sum(layout.widths) + layout.identity
    return np.empty((0, layout.grid[0] * layout.grid[1], width), np.float32)
