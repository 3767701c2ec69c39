"""Fetching encoders: faults that end as they must, and what checking costs beside a bare download.

    lookstream bench hub [--json] [--megabytes 200] [--rounds 3]

A hub on loopback speaks huggingface_hub's protocol (`tests.servers.model_hub`). First every case of
`tests.hub.cases` is played: breaks, other bytes, pickles, gates, full disks, names that leave
the folder. Then one repository is fetched by us and by huggingface_hub's own `snapshot_download`,
taking turns. The last line is one JSON object:

    cases, wrong      how many there were, and how many ended otherwise than they must
    crashed           that raised anything but one of our errors: a user would see a traceback
    fetch_s           of the repository, checked and locked; the best of the rounds
    bare_s            by `snapshot_download`
    times_bare        one by the other
    found_ms          finding it again when it is here, as every start of a worker does
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import orjson
from huggingface_hub import snapshot_download
from huggingface_hub.utils.tqdm import disable_progress_bars
from safetensors.numpy import save

from models.hub.resolve import local_folder
from tests.hub.cases import CASES, FILES, NAME, REPO
from tests.hub.check import problems
from tests.servers.model_hub import ModelHub, Repository, model_hub
from workers.progress.open import open_progress
from workers.progress.tasks import Progress


def main() -> None:
    """Play the cases, then time a fetch."""
    parser = argparse.ArgumentParser(prog="lookstream bench hub")
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    disable_progress_bars()
    with model_hub() as hub, open_progress() as progress:
        report = {**_play(hub, progress), **_time(hub, options.megabytes, options.rounds, progress)}
    print(orjson.dumps(report).decode())


def _play(hub: ModelHub, progress: Progress) -> dict[str, object]:
    wrong, crashed = 0, 0
    for case in progress.track(CASES, "playing faults", len(CASES)):
        with tempfile.TemporaryDirectory() as scratch:
            found = problems(case, hub, Path(scratch))
        wrong += bool(found)
        crashed += any("raised " in one for one in found)
        for problem in found:
            progress.note(f"{case.name}: {problem}")
    return {"cases": len(CASES), "wrong": wrong, "crashed": crashed}


def _time(hub: ModelHub, megabytes: int, rounds: int, progress: Progress) -> dict[str, object]:
    hub.clear()
    values = np.random.default_rng(0).integers(0, 255, megabytes * 1_000_000, np.uint8)
    weights = save({"weight": values})
    hub.repositories[REPO] = Repository({**FILES, "model.safetensors": weights})
    fetched, bare, found = [], [], []
    for _ in progress.track(range(rounds), f"fetching {megabytes} MB twice", rounds):
        with tempfile.TemporaryDirectory() as scratch:
            cache = {"HF_ENDPOINT": hub.url, "LOOKSTREAM_CACHE": f"{scratch}/ours"}
            with patch.dict(os.environ, cache):
                fetched.append(_seconds(lambda: local_folder(NAME)))
                found.append(_seconds(lambda: local_folder(NAME)))
            folder = Path(scratch) / "bare"
            bare.append(_seconds(partial(_download, hub, folder)))
    return {
        "megabytes": megabytes,
        "fetch_s": round(min(fetched), 2),
        "bare_s": round(min(bare), 2),
        "times_bare": round(min(fetched) / min(bare), 2),
        "found_ms": round(1000 * min(found), 2),
    }


def _download(hub: ModelHub, folder: Path) -> None:
    snapshot_download(
        REPO,
        endpoint=hub.url,
        local_dir=folder,
        allow_patterns=["*.json", "*.safetensors"],
        ignore_patterns=["onnx/*"],
    )


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
