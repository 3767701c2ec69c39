"""Where files that were fetched or exported are kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """The folder of fetched and exported networks: LOOKSTREAM_CACHE, else ~/.cache/lookstream."""
    return Path(os.environ.get("LOOKSTREAM_CACHE") or Path.home() / ".cache" / "lookstream")
