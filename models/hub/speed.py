"""How long each encoder takes for a picture on this machine, without fetching any.

Random weights have the true speed. A network is exported to ONNX and runs as it would serve, taking
turns with `REFERENCE`, so that other load on the machine slows both. What was measured is kept in
``speeds.json`` of the cache.
"""

from __future__ import annotations

import logging
import os
import platform
import tempfile
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime

from models.backbone.load import load_backbone
from models.backbone.spec import BACKBONES
from models.cache import cache_folder
from models.errors import HubError
from models.hub.presets import PRESETS, Preset
from models.hub.reasons import Reason

REFERENCE = "lite2"
ROUNDS = 15
NEEDED = ("torch", "timm", "transformers", "open_clip", "onnxscript")


class Speed(msgspec.Struct, frozen=True):
    """A measured encoder.

    Attributes:
        ms: for one picture, from the input of the network on; the least of the rounds, because
            other load only adds.
        of_reference: its time by that of `REFERENCE` right after it, the median of the rounds.
        measured: when, in ISO 8601.
    """

    ms: float
    of_reference: float
    measured: str


Speeds = dict[str, Speed]


def machine() -> str:
    """What speeds depend on: processor, threads, and the version of ONNX Runtime."""
    return f"{_processor()}, {serving_threads()} threads, ONNX Runtime {onnxruntime.__version__}"


def serving_threads() -> int:
    """So many threads serve a picture, as `models.embedding.load.load_encoder` chooses them."""
    return min(4, len(os.sched_getaffinity(0)))


def known_speeds() -> Speeds:
    """What was measured on this machine, by an encoder's name."""
    return _read().get(machine(), {})


def measurable() -> list[str]:
    """The packaged encoders, and the presets whose pictures are all of one size.

    A vision-language model takes gigabytes, and as long as a picture is large.
    """
    return [*BACKBONES, *(name for name, preset in PRESETS.items() if preset.size is not None)]


def measure(name: str) -> Speed:
    """Measure one of `measurable`, and keep the result; seconds.

    Raises:
        HubError: a package is missing that builds its network.
    """
    run = _packaged(name) if name in BACKBONES else _preset(PRESETS[name])
    speed = _compare(run, _packaged(REFERENCE))
    speeds = _read()
    speeds.setdefault(machine(), {})[name] = speed
    cache_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=cache_folder(), prefix=".speeds-", delete=False) as file:
        file.write(msgspec.json.format(msgspec.json.encode(speeds)))
    os.replace(file.name, _path())
    return speed


def _compare(run: Callable[[], object], reference: Callable[[], object]) -> Speed:
    rounds = [(_seconds(run), _seconds(reference)) for _ in range(ROUNDS)]
    return Speed(
        ms=1000 * min(own for own, _ in rounds),
        of_reference=float(np.median([own / other for own, other in rounds])),
        measured=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _packaged(name: str) -> Callable[[], object]:
    spec = BACKBONES[name]
    backbone = load_backbone(spec, threads=serving_threads())
    picture = np.zeros((1, 3, spec.size, spec.size), np.float32)
    return lambda: backbone.patches(picture)


def _preset(preset: Preset) -> Callable[[], object]:
    """A preset's picture tower as it would serve, with random weights."""
    for package in NEEDED:
        if find_spec(package) is None:
            raise HubError(
                Reason.EXTRA,
                f"to measure {preset.name} needs {package}: run `pip install 'lookstream[hub]'`",
            )
    # By name: listing what there is needs none of these.
    torch, architecture = import_module("torch"), import_module("models.hub.architecture")
    tower = import_module("timm.utils.model").reparameterize_model(
        architecture.picture_tower(preset).eval()
    )
    side = preset.size or 0
    picture = np.zeros((1, 3, side, side), np.float32)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = serving_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # as it serves
    for logger in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about its own internals
        path = Path(scratch) / "network.onnx"
        torch.onnx.export(
            tower,
            (torch.from_numpy(picture),),
            path,
            input_names=["picture"],
            dynamo=True,
            verbose=False,
            external_data=True,
        )
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"picture": picture})


def _seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def _read() -> dict[str, Speeds]:
    """All that was measured, by machine; nothing if the file is not there or damaged."""
    try:
        return msgspec.json.decode(_path().read_bytes(), type=dict[str, Speeds])
    except (OSError, msgspec.DecodeError):
        return {}


def _path() -> Path:
    return cache_folder() / "speeds.json"


def _processor() -> str:
    """The processor's name and how many of its cores are ours."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line for line in lines if line.startswith("model name")).partition(": ")[2]
    except (OSError, StopIteration):
        pass
    return f"{name}, {len(os.sched_getaffinity(0))} cores"
