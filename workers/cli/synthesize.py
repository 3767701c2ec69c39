"""`lookstream studio DIR`: render a synthetic catalog."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workers.cli.console import Json, Quiet, finish, say
from workers.progress.open import open_progress


def studio(
    folder: Annotated[Path, typer.Argument(help="The catalog folder to write.")],
    products: Annotated[int, typer.Option(min=1, help="How many products.")] = 500,
    photos: Annotated[int, typer.Option(min=0, help="Shoppers' photos of each.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other products.")] = 0,
    size: Annotated[int, typer.Option(min=32, max=2048, help="Side of a picture in px.")] = 256,
    without: Annotated[
        list[str] | None,
        typer.Option(
            help="A corruption of photos to leave out: clutter, occlusion, low_light, blur, "
            "watermark, low_resolution or all; repeatable."
        ),
    ] = None,
    shares: Annotated[
        str, typer.Option(help="Splits of the products and their shares.")
    ] = "train=0.6,val=0.1,test=0.3",
    processes: Annotated[
        int | None, typer.Option(min=1, help="Rendering processes; by default up to two.")
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Render a synthetic catalog: packshots, shoppers' photos, texts and exact boxes.

    The same options give the same catalog. Run it again to resume after an interruption, or with
    more products: existing pictures are kept.

    [bold]Examples[/]

      lookstream studio /tmp/studio --products 200 --photos 3
      lookstream studio /tmp/clean --products 200 --without clutter --without watermark
      lookstream studio /tmp/unseen --seed 7 --shares test=1 --json
    """
    from models.synthetic import CORRUPTION_NAMES, write_synthetic_catalog

    left_out = set(without or ())
    corruptions = [
        name for name in CORRUPTION_NAMES if name not in left_out and "all" not in left_out
    ]
    unknown = left_out - {*CORRUPTION_NAMES, "all"}
    if unknown:
        raise typer.BadParameter(
            f"{', '.join(sorted(unknown))}: there are {', '.join(CORRUPTION_NAMES)}, all",
            param_hint="--without",
        )
    with open_progress(quiet=quiet) as bars, bars.task("rendering") as task:
        summary = write_synthetic_catalog(
            folder,
            products=products,
            photos=photos,
            seed=seed,
            size=size,
            corruptions=corruptions,
            splits=_shares(shares),
            processes=processes,
            progress=task,
        )
    found = f"{summary.products} products of {summary.kinds} kinds, {summary.photos} photos"
    say(f"{summary.folder}: {found}")
    finish(summary.report(), json)


def _shares(text: str) -> dict[str, float]:
    """`train=0.6,test=0.4` as a mapping."""
    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = part.partition("=")
        try:
            found[name.strip()] = float(share)
        except ValueError as error:
            raise typer.BadParameter(
                f"{text!r}: write it like train=0.6,val=0.1,test=0.3", param_hint="--shares"
            ) from error
    return found
