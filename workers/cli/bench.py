"""`lookstream bench NAME`: the benchmarks, one module of `benchmarks/` each.

Benchmarks are no part of the product: they are found, listed and run by name. To list them none is
imported, so that it takes no time and works without what they need.
"""

from __future__ import annotations

import ast
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from workers.cli.console import print_line
from workers.errors import SettingsError

PACKAGE = "benchmarks"
DOUBLES = "tests"  # Some start servers and workers that tests use too, see `tests.doubles`.


def bench(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(help="Which one; without it they are listed.")
    ] = None,
) -> None:
    """Run a benchmark; what follows its name goes to it.

    The last line of each is one JSON object.

    [bold]Examples[/]

      lookstream bench
      lookstream bench probe --items 5000
    """
    found = _benchmarks()
    if name is None:
        for known, path in found.items():
            print_line(f"{known:<12} {_summary(path)}")
        return
    if name not in found:
        raise SettingsError(f"there is no benchmark {name!r}: there are {', '.join(found)}")
    # An installation has no `tests`; in a checkout they lie beside the benchmarks.
    sys.path.insert(0, str(found[name].parents[1]))
    sys.argv = [f"lookstream bench {name}", *(arg for arg in context.args if arg != "--json")]
    try:
        import_module(f"{PACKAGE}.{name}").main()
    except ModuleNotFoundError as error:
        raise _missing(name, error) from error


def _benchmarks() -> dict[str, Path]:
    """Name and file of each benchmark. Packages there are what benchmarks are made of."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:  # of a folder that only has this name, there is none
        raise SettingsError(
            "the benchmarks are not installed: run `lookstream bench` in a checkout of the source, "
            "installed with pip install -e '.[bench]'"
        )
    return {path.stem: path for path in sorted(Path(spec.origin).parent.glob("[!_]*.py"))}


def _summary(path: Path) -> str:
    """The first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n")[0]


def _missing(name: str, error: ModuleNotFoundError) -> Exception:
    """What to do about a module that a benchmark did not find; our own missing is a bug."""
    package = (error.name or "").partition(".")[0]
    if package == DOUBLES:
        return SettingsError(
            f"the benchmark {name!r} starts what only a checkout of the source has: run it there"
        )
    if package in ("", PACKAGE, "lookstream", "stream", "models", "index", "workers", "configs"):
        return error
    return SettingsError(
        f"the benchmark {name!r} needs {package}, which comes with the extra bench: "
        "pip install 'lookstream[bench]'"
    )
