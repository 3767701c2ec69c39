"""The server of Milvus Lite, with `index.milvus.lite_columns` where that fits its version.

Any other version runs as it is, slower.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import metadata

WRITTEN_FOR = "3.2.2"
"""The version whose inside `index.milvus.lite_columns` knows."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of `milvus-lite`."""
    installed = metadata.version("milvus-lite")
    if installed == WRITTEN_FOR:
        from index.milvus.lite_columns import by_columns  # noqa: PLC0415  it may not fit another

        by_columns()
    else:
        print(f"Milvus Lite is {installed}, not {WRITTEN_FOR}: it writes slowly")  # noqa: T201  log
    from milvus_lite import cmdline  # noqa: PLC0415  with what was put in place

    return int(cmdline.main(sys.argv[1:] if arguments is None else list(arguments)))


if __name__ == "__main__":
    sys.exit(main())
