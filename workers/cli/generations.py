"""Commands about catalogs that were built separately from the live one: list, promote, drop."""

from __future__ import annotations

from typing import Annotated

import typer

from workers.cli.console import Json, Quiet, finish, print_line, say
from workers.cli.replay_source import apply_products, source
from workers.progress.open import open_progress

app = typer.Typer(help="Catalogs built separately from the live one.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The generation, as `--into` named it.")]


@app.command("list")
def list_all(json: Json = False) -> None:
    """List the generations that were begun."""
    from dataclasses import asdict

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
    """Make a generation the live index, and drop what was live.

    The ingest worker of `lookstream up` pauses meanwhile; any other, stop first and start again
    afterwards: it goes on where it was. Searches go on and find the new index within seconds.

    [bold]Example[/]

      lookstream generations promote blue
    """
    from stream.span_reader import Edge, Span
    from workers.config.load_models import encoder_of
    from workers.config.settings import load_settings
    from workers.config.wiring import catalog_topics
    from workers.jobs.generations import existing, no_ingest
    from workers.jobs.generations import promote as promote_generation

    settings = load_settings()
    candidate, late = existing(settings, name), 0
    with no_ingest(settings):
        if catch_up:
            encoder = encoder_of(candidate)
            span, topics = Span(Edge.LAST, Edge.NOW), catalog_topics(settings)
            with (
                open_progress(quiet=quiet) as bars,
                source(settings, span, candidate, None)(topics, bars, "catching up") as done,
            ):
                late = apply_products(done, candidate, encoder).read
        promote_generation(settings, name)
    say(f"{name} is the live index now ({late} records caught up)")
    finish({"promoted": name, "caught_up": late}, json)


@app.command()
def drop(name: Name, json: Json = False) -> None:
    """Drop a generation and all its rows; the live index is not touched."""
    from workers.config.settings import load_settings
    from workers.jobs.generations import drop as drop_generation

    drop_generation(load_settings(), name)
    say(f"{name} is gone")
    finish({"dropped": name}, json)
