"""A training command in several processes of this machine, which find each other as those of
torchrun do."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import typer

from stream.child_process import python_module
from stream.embedded_broker import claim_port

LOOK_EVERY_S = 0.2


def run_in_ranks(count: int) -> None:
    """Run this very command line in ``count`` processes, and wait for all.

    Raises:
        typer.Exit: one failed, with its status; the others are ended.
    """
    cores = len(os.sched_getaffinity(0))
    common = {"WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": claim_port()}
    threads = {"OMP_NUM_THREADS": str(max(1, cores // count))}
    ranks = []
    try:
        for rank in range(count):
            place = {"RANK": rank, "LOCAL_RANK": rank, **common}
            ranks.append(
                subprocess.Popen(  # noqa: S603 - the command line is our own
                    python_module("workers.cli", *sys.argv[1:]),
                    stdin=subprocess.DEVNULL,
                    env=threads | os.environ | {name: str(one) for name, one in place.items()},
                )
            )
        while any(status is None for status in (one.poll() for one in ranks)):
            _leave_if_failed(ranks)
            time.sleep(LOOK_EVERY_S)
        _leave_if_failed(ranks)
    finally:
        for one in ranks:
            one.terminate()
            one.wait()


def _leave_if_failed(ranks: list[subprocess.Popen[bytes]]) -> None:
    failed = [one.returncode for one in ranks if one.poll()]
    if failed:
        raise typer.Exit(failed[0] if failed[0] > 0 else 1)
