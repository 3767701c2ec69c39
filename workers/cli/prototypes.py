"""Commands about the prototype bank: build, update, show, resolve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.console import Json, Quiet, finish, print_line, say
from workers.errors import SettingsError
from workers.progress.open import open_progress

if TYPE_CHECKING:
    from index.milvus.collection import Collection
    from index.prototypes.bank import PrototypeBank
    from index.prototypes.protocol import Bank
    from index.prototypes.registry import BankRegistry

app = typer.Typer(help="The prototype bank.", no_args_is_help=True)


@app.command()
def build(
    count: Annotated[int | None, typer.Option(min=1, help="How many; by default to fit.")] = None,
    clusters: Annotated[
        Path | None, typer.Option(help="What `lookstream curate` wrote: one prototype a cluster.")
    ] = None,
    catalog: Annotated[Path | None, typer.Option(help="The folder that was curated.")] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Build a new bank from the indexed items or curated clusters, and repartition the index by it.

    Events and searches go on meanwhile; what was live stays: lookstream generations rollback. A
    bank of clusters is not replaced when the catalog grows; bring it up to date with `update`.

    [bold]Examples[/]

      lookstream prototypes build --count 500
      lookstream prototypes build --clusters clusters.jsonl --catalog my-shop
    """
    from workers.config.load_models import encoder_of
    from workers.config.settings import load_settings
    from workers.jobs.promotion import repartition_live
    from workers.jobs.prototypes import cluster_bank

    if (clusters is None) != (catalog is None) or (clusters is not None and count is not None):
        raise SettingsError(
            "give --clusters with the --catalog that was curated, or --count, or none of them"
        )
    settings = load_settings()
    bank: PrototypeBank | None = None
    with open_progress(quiet=quiet) as bars:
        if clusters is not None and catalog is not None:
            with bars.task("encoding pictures") as task:
                bank = cluster_bank(clusters, catalog, encoder_of(settings), task)
        with bars.task("repartitioning") as task:
            built = repartition_live(settings, lambda *_: bank, prototypes=count, on_progress=task)
    _report(built, json)


@app.command()
def update(quiet: Quiet = False, json: Json = False) -> None:
    """Update a bank of clusters with the indexed items, and repartition the index by it.

    Products without a prototype get one, the others follow their items, what has become one is
    merged and what fell apart is split; `resolve` says what became of a name. Events and searches
    go on, as for `build`.

    [bold]Example[/]

      lookstream prototypes update
    """
    from index.lifecycle.update_prototypes import update_prototypes
    from workers.config.settings import load_settings
    from workers.jobs.promotion import repartition_live

    with open_progress(quiet=quiet) as bars, bars.task("repartitioning") as task:

        def updated(collection: Collection, registry: BankRegistry) -> PrototypeBank:
            bank, aliases = update_prototypes(collection, registry)
            registry.put(bank, aliases)
            return bank

        built = repartition_live(load_settings(), updated, on_progress=task)
    _report(built, json)


@app.command()
def resolve(
    name: Annotated[str, typer.Argument(help="A prototype's name, of this bank or an earlier.")],
    json: Json = False,
) -> None:
    """Show the prototypes that a name leads to: itself, the survivor of a merge, or its parts.

    [bold]Example[/]

      lookstream prototypes resolve shoe-17
    """
    from workers.catalog_index import open_catalog
    from workers.config.settings import load_settings

    collection, registry = open_catalog(load_settings())
    bank = collection.bank
    found = [one for one in registry.aliases(bank.version).resolve(name) if one in bank.rows]
    if not found:
        raise SettingsError(
            f"bank {bank.version} has no prototype {name!r}, nor an alias of that name: "
            "`lookstream prototypes show` lists what there is"
        )
    if not json:
        say(", ".join(map(str, found)))
    finish({"name": name, "bank_version": bank.version, "prototypes": found}, json)


@app.command()
def show(json: Json = False) -> None:
    """Show the current bank, and how the items are spread over its prototypes."""
    from workers.catalog_index import open_catalog
    from workers.config.settings import load_settings

    collection, _ = open_catalog(load_settings())
    bank = collection.bank
    sizes = [0] * len(bank)
    for page in collection.scan():
        for item in page:
            sizes[item.prototype] += 1
    if not json:
        say(f"bank {bank.version} of {bank.model_id}: {len(bank)} prototypes, {sum(sizes)} items")
        most = max([1, *sizes])
        for number, size in sorted(enumerate(sizes), key=lambda pair: -pair[1])[:30]:
            bar = "█" * round(40 * size / most)
            print_line(f"{bank.names[number]!s:>12} {size:7d} {bar}")
    finish(
        {"bank_version": bank.version, "model_id": bank.model_id, "items_per_prototype": sizes},
        json,
    )


def _report(bank: Bank, json: bool) -> None:
    say(f"{len(bank)} prototypes, bank {bank.version}")
    finish({"bank_version": bank.version, "prototypes": len(bank)}, json)
