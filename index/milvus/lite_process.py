"""The embedded Milvus Lite server: one process that owns the data, so that several can use it.

Its command line, and a wait until it answers; the supervisor starts and stops it.
"""

import sys
import time
from pathlib import Path

from index.errors import MilvusUnavailable
from index.milvus.client import Client
from index.milvus.config import MilvusConfig
from index.milvus.lite_layout import environment

__all__ = ["argv", "environment", "wait_ready"]


def argv(data_dir: Path, port: int) -> list[str]:
    """The command line: loopback only (law 8; Lite's own default is every interface, no password).

    Run it with :func:`environment` added to its environment. `data_dir` is made if needed and
    locked; end it with SIGINT for a clean close. A kill loses no acknowledged row.
    """
    where = ["--data-dir", str(data_dir), "--host", "127.0.0.1", "--port", str(port)]
    # One request at a time: during a flush the memtable's rows are invisible, so that a concurrent
    # search would miss the last writes. Lite computes under the GIL anyway.
    # -P: no module of the working directory may hide one of Milvus Lite's.
    return [
        sys.executable,
        "-P",
        "-m",
        "index.milvus.lite_server",
        "server",
        *where,
        "--max-workers",
        "1",
    ]


def wait_ready(uri: str, timeout_s: float = 60.0, token: str | None = None) -> None:
    """Wait until a Milvus at this address answers; importing Lite takes a few seconds.

    Raises:
        MilvusUnavailable: it did not within `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while not answers(uri, token):
        if time.monotonic() > deadline:
            raise MilvusUnavailable(
                f"Milvus at {uri} did not start within {timeout_s:g} s: see its log"
            )
        time.sleep(0.1)


def answers(uri: str, token: str | None = None) -> bool:
    """Whether a Milvus answers at this address within two seconds."""
    client = Client(MilvusConfig(uri=uri, token=token, timeout_s=2.0))
    try:
        client.call("get_server_version")
    except MilvusUnavailable:
        return False
    finally:
        client.close()
    return True
