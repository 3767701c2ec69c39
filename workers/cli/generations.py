"""Commands about catalogs beside the live one: list, promote, roll back, drop."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.console import Json, Quiet, finish, print_line, say
from workers.progress.open import open_progress

if TYPE_CHECKING:
    from workers.config.settings import Settings
    from workers.jobs.promotion import Promoted

app = typer.Typer(help="Catalogs beside the live one.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The generation, as `--into` named it.")]


@app.command("list")
def list_all(json: Json = False) -> None:
    """List the generations that were begun."""
    from workers.config.settings import load_settings
    from workers.jobs.generations import list_generations

    found = list_generations(load_settings())
    if not json:
        for one in found:
            print_line(
                f"{one.name:<24} {one.items:>8} items  bank {one.bank_version}  {one.model_id}"
            )
        say(f"{len(found)} generations")
    finish({"generations": [asdict(one) for one in found]}, json)


@app.command()
def promote(
    name: Name,
    catch_up: Annotated[
        bool, typer.Option(help="First replay what came since the replay ended.")
    ] = True,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Make a generation the live index. What was live is the generation `previous` then.

    Events and queries go on: those of the last moment wait for about a second, and none is lost.

    [bold]Example[/]

      lookstream generations promote blue
    """
    from workers.config.settings import load_settings

    promoted = _promote(load_settings(), name, quiet=quiet, catch_up=catch_up)
    say(
        f"{name} is the live index now ({promoted.caught_up} records caught up; writers waited "
        f"{promoted.held_s:.2f} s). Back: lookstream generations rollback"
    )
    finish({"promoted": name, **asdict(promoted)}, json)


@app.command()
def rollback(quiet: Quiet = False, json: Json = False) -> None:
    """Make the index live again that was live before the last promotion, reindex or build.

    What it has missed since is replayed into it first; searches go on meanwhile. The same command
    again goes forward.

    [bold]Example[/]

      lookstream generations rollback
    """
    from workers.config.settings import load_settings
    from workers.jobs.generations import PREVIOUS

    promoted = _promote(load_settings(), PREVIOUS, quiet=quiet)
    say(
        f"the index before is live again ({promoted.caught_up} records caught up; writers waited "
        f"{promoted.held_s:.2f} s)"
    )
    finish({"promoted": PREVIOUS, **asdict(promoted)}, json)


@app.command()
def drop(name: Name, json: Json = False) -> None:
    """Drop a generation and all its rows; the live index is not touched."""
    from workers.config.settings import load_settings
    from workers.jobs.generations import drop as drop_generation
    from workers.jobs.promotion import settle

    settings = load_settings()
    settle(settings)
    drop_generation(settings, name)
    say(f"{name} is gone")
    finish({"dropped": name}, json)


def _promote(settings: Settings, name: str, *, quiet: bool, catch_up: bool = True) -> Promoted:
    from workers.config.load_models import encoder_of
    from workers.jobs.generations import existing
    from workers.jobs.promotion import Promoted, settle
    from workers.jobs.promotion import promote as promote_generation

    if name in settle(settings):
        say(f"an earlier run has made {name!r} the live index, and what it left is tidied up now")
        return Promoted(caught_up=0, held_s=0.0)
    encoder = encoder_of(existing(settings, name)) if catch_up else None
    with open_progress(quiet=quiet) as bars, bars.task("promoting"):
        return asyncio.run(promote_generation(settings, name, encoder))
