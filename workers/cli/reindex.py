"""`lookstream reindex`."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workers.cli.console import Json, Quiet, finish, say
from workers.cli.replay_source import apply_products, source
from workers.errors import SettingsError
from workers.progress.open import open_progress

if TYPE_CHECKING:
    from models.embedding.protocol import CatalogEncoder
    from workers.config.settings import Settings
    from workers.jobs.compare import Comparison
    from workers.jobs.compare_queries import QueryComparison
    from workers.jobs.reindex import Plan
    from workers.progress.tasks import Progress


def reindex(
    into: Annotated[
        str, typer.Option(help="The generation to build or go on with: letters and digits.")
    ] = "reindex",
    backbone: Annotated[
        str | None,
        typer.Option(help="Encode with another network from now on: as models.backbone takes it."),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Build and compare only; the live index stays.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Promote even if live items are missing in it.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Drop what an earlier run has built, and begin anew.")
    ] = False,
    file: Annotated[
        Path | None,
        typer.Option(help="Begin with a recording; the topic follows from an hour before its end."),
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Build the index anew from the catalog topic, compare it with the live one, and promote it.

    That is what another model asks for, since vectors of two models cannot be in one index: name it
    by --backbone, or in the settings. So does a release that makes vectors or juice by other rules:
    [bold]lookstream doctor[/] says how many items have old ones. Pictures are fetched and juiced
    anew. Events and queries go on meanwhile: the new index takes the
    live events too, and when it goes live, those of the last moment wait for about a second.
    Workers load the new encoder then, and each list is of one index. What was live stays, to go
    back to: lookstream generations rollback. The command goes on where it ended, also after an
    interruption.

    [bold]Examples[/]

      lookstream reindex --dry-run
      lookstream reindex --backbone siglip2-base
      lookstream reindex --keep; lookstream generations promote reindex
    """
    from workers.config.chosen_encoder import with_backbone
    from workers.config.load_models import encoder_for, encoder_of
    from workers.config.settings import load_settings
    from workers.evidence.predicted_attributes import share_attribute_predictor
    from workers.jobs.generations import begin, drop, lookup
    from workers.jobs.promotion import promote, settle
    from workers.jobs.reindex import begun, check_model, plan

    settings = load_settings()
    if backbone is not None:
        encoder = encoder_for(with_backbone(settings.models, backbone))
    else:  # that of what was begun, else that of the live index
        encoder = encoder_of((None if restart else lookup(settings, into)) or settings)
    if dry_run:
        found = plan(settings, into, encoder.model_id, from_topic=file is None, restart=restart)
        _say_plan(found)
        finish(asdict(found), json)
        return
    report: dict[str, Any] = {"into": into, "model_id": encoder.model_id, "promoted": False}
    if into in settle(settings):
        say(f"an earlier run has made {into!r} the live index, and what it left is tidied up now")
        finish(report | {"promoted": True}, json)
        return
    if (earlier := begun(settings, into)) and restart:
        drop(settings, into)
    elif earlier:
        check_model(earlier, encoder.model_id)
        say(f"going on with {into!r}: {earlier.items} items are in it")
    candidate = begin(settings, into, backbone)
    share_attribute_predictor(settings, candidate)
    with open_progress(quiet=quiet) as bars:
        report["replayed"] = _replay(settings, candidate, encoder, bars, file)
        comparison = _compare(settings, candidate, bars)
        asked = _compare_queries(settings, candidate, encoder, bars) if comparison else None
    report["compared"] = comparison.json() if comparison else None
    report["compared_queries"] = asked.json() if asked else None
    _say_comparison(comparison)
    _say_queries(asked)
    if keep:
        say(f"next: lookstream generations promote {into}, or drop {into}")
        finish(report, json)
        return
    _confirm(comparison, into, yes=yes)
    with open_progress(quiet=quiet) as bars, bars.task("promoting"):
        promoted = asyncio.run(promote(settings, into, encoder))
    report |= {"promoted": True, **asdict(promoted)}
    say(
        f"the new index is live, with vectors of {encoder.model_id} ({promoted.caught_up} records "
        f"caught up; writers waited {promoted.held_s:.2f} s). Back: lookstream generations rollback"
    )
    if backbone is not None:
        say(
            f"workers take {backbone} in place of models.backbone = {settings.models.backbone}: "
            "write it into your settings when it is convenient"
        )
    finish(report, json)


def _replay(
    settings: Settings,
    candidate: Settings,
    encoder: CatalogEncoder,
    bars: Progress,
    file: Path | None = None,
) -> dict[str, Any]:
    """Apply what the topic has beyond what was applied before, or a recording."""
    from stream.span_reader import Edge, Span
    from workers.config.wiring import catalog_topics
    from workers.jobs.generations import describe
    from workers.jobs.reindex import RecordingEnd

    topics, span = catalog_topics(settings), Span(Edge.LAST, Edge.NOW)
    with source(settings, span, candidate, file)(topics, bars, "replaying") as reading:
        end = RecordingEnd()
        watched = replace(reading, records=end.watch(reading.records))
        replayed = apply_products(watched, candidate, encoder)
    if not describe(candidate, "").items:
        raise SettingsError(
            f"there is no product in {file or ' and '.join(topics)} to build an index from: "
            "produce the catalog (lookstream produce DIR), or give a recording (--file); the live "
            "index stays"
        )
    if file is not None:
        end.follow(settings, candidate)
    for one in replayed.refusals[:10]:
        say(f"  {one['source']}  {one['error_class']}: {one['reason']}")
    return replayed.json()


def _compare(settings: Settings, candidate: Settings, bars: Progress) -> Comparison | None:
    """The comparison with the live index; None if there is none yet."""
    from workers.catalog_index import open_catalog
    from workers.jobs.compare import compare
    from workers.jobs.reindex import has_live_index

    if not has_live_index(settings):
        return None
    with (
        open_catalog(settings)[0] as live,
        open_catalog(candidate)[0] as new,
        bars.task("comparing", live.count() + new.count()) as task,
    ):
        return compare(live, new, on_progress=task)


def _compare_queries(
    settings: Settings, candidate: Settings, encoder: CatalogEncoder, bars: Progress
) -> QueryComparison | None:
    """What recent queries find in both; None where the live index's encoder cannot be loaded."""
    from models.errors import ModelError
    from workers.catalog_index import open_catalog
    from workers.config.load_models import encoder_of
    from workers.jobs.compare_queries import compare_queries

    with open_catalog(settings)[0] as live:
        model_id = live.bank.model_id
    try:
        live_encoder = encoder if encoder.model_id == model_id else encoder_of(settings)
    except ModelError as error:
        say(f"recent queries are not compared: {error}")
        return None
    if live_encoder.model_id != model_id:  # the settings have changed since it was made
        say(f"recent queries are not compared: the settings no longer name {model_id}")
        return None
    with bars.task("asking recent queries"):
        return asyncio.run(compare_queries(settings, candidate, live_encoder, encoder))


def _say_queries(asked: QueryComparison | None) -> None:
    if asked is None or asked.overlap is None:
        return
    say(f"of the first ten of {asked.queries} recent queries, {asked.overlap:.1%} are in both")
    if asked.clicked:
        say(f"{asked.clicked} were clicked on: the clicked product is   first   in ten")
        for name, first, ten in (
            ("live", asked.live_hit_1, asked.live_hit_10),
            ("new", asked.candidate_hit_1, asked.candidate_hit_10),
        ):
            say(f"{name:>44}  {first:6.1%}  {ten:6.1%}")


def _say_comparison(comparison: Comparison | None) -> None:
    if comparison is None:
        say("there is no live index to compare with")
        return
    say(f"live: {comparison.live_items} items, new: {comparison.candidate_items}")
    for name in ("missing", "added", "changed"):
        difference = getattr(comparison, name)
        if difference.items:
            say(f"  {difference.items} {name}: {', '.join(difference.examples)}, …")
    if comparison.overlap is not None:
        say(
            f"  of the best ten of {comparison.queries} searches, {100 * comparison.overlap:.1f} % "
            "are the same in both"
        )
    elif not comparison.same_model:
        say("  the models differ, so that only what the shop wrote was compared")


def _confirm(comparison: Comparison | None, into: str, *, yes: bool) -> None:
    """Ask, where somebody can answer, before live items go.

    Raises:
        SettingsError: the answer is no, or nobody is there to give one.
    """
    missing = comparison.missing.items if comparison else 0
    if not missing or yes:
        return
    if sys.stdin.isatty() and typer.confirm(f"promote it without those {missing} items?", err=True):
        return
    raise SettingsError(
        f"not promoted: {missing} items of the live index are not in the new one, because the "
        "topic no longer has their events or these were refused (see above). Promote it anyway "
        f"with --yes, or drop it: lookstream generations drop {into}"
    )


def _say_plan(found: Plan) -> None:
    live = (
        f"{found.live_items} items of {found.live_model_id}" if found.live_model_id else "nothing"
    )
    events = "a recording" if found.events is None else f"at least {found.events} events"
    say(f"live: {live}")
    if found.live_model_id not in ("", found.model_id):
        say(f"their vectors and juice are old: all {found.live_items} items would be juiced anew")
    say(f"would replay {events} into {found.into!r} with {found.model_id}")
    if found.begun_items:
        say(f"would go on with the {found.begun_items} items that are there already")
