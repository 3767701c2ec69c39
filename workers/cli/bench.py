"""`lookstream bench NAME`: the benchmarks, one module of `benchmarks/` each."""

from __future__ import annotations

import pkgutil
import sys
from importlib import import_module
from typing import Annotated

import typer

from workers.cli.console import out
from workers.errors import SettingsError


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
    import benchmarks

    # Packages there are what benchmarks are made of.
    names = [one.name for one in pkgutil.iter_modules(benchmarks.__path__) if not one.ispkg]
    if name is None:
        for one in names:
            about = (import_module(f"benchmarks.{one}").__doc__ or "").partition("\n")[0]
            out.print(f"{one:<12} {about}", markup=False, highlight=False, soft_wrap=True)
        return
    if name not in names:
        raise SettingsError(f"there is no benchmark {name!r}: there are {', '.join(names)}")
    sys.argv = [f"lookstream bench {name}", *(arg for arg in context.args if arg != "--json")]
    import_module(f"benchmarks.{name}").main()
