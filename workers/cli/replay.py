"""`lookstream replay`."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workers.cli.console import Json, Quiet, finish, say
from workers.cli.replay_source import End, Reading, Start, apply_products, source
from workers.errors import SettingsError
from workers.progress.open import open_progress

if TYPE_CHECKING:
    from stream.messages import Result
    from workers.config.settings import Settings
    from workers.jobs.build import Replayed


class Kind(StrEnum):
    """What can be replayed."""

    products = "products"
    queries = "queries"


def replay(
    into: Annotated[
        str, typer.Option(help="The generation to build or go on with: letters and digits.")
    ],
    start: Start = "BEGINNING",
    end: End = "NOW",
    only: Annotated[Kind | None, typer.Option(help="By default products, then queries.")] = None,
    file: Annotated[
        Path | None, typer.Option(help="Replay a recording instead of the topics.")
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="Where the answers to queries go, one JSON result a line.")
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Read a span of the topics again, at full speed, into a separate index.

    The live index, its worker and its offsets are not touched. What is refused is reported here,
    not sent to the dead-letter topic. LAST goes on where the last replay into it ended.

    [bold]Examples[/]

      lookstream replay --into blue --only products
      lookstream replay --into blue --from 2026-05-01T12:00 --to 2026-05-02 --only queries
      lookstream replay --into blue --file stream.jsonl
    """
    from stream.span_reader import parse_span
    from workers.config.load_models import encoder_of
    from workers.config.settings import load_settings
    from workers.config.wiring import catalog_topics, topics_of
    from workers.jobs.generations import begin

    settings, span = load_settings(), parse_span(start, end)
    candidate = begin(settings, into)
    topics = topics_of(settings)
    report: dict[str, Any] = {"into": into}
    encoder = encoder_of(settings)
    with open_progress(quiet=quiet) as bars, ExitStack() as stack:
        records_of = source(settings, span, candidate, file)
        if only is not Kind.queries:
            done = stack.enter_context(records_of(catalog_topics(settings), bars, "products"))
            replayed = apply_products(done, candidate, encoder)
            report["products"] = replayed.json() | _hashes(settings, candidate, encoder.model_id)
            _summarize("products", replayed, "applied")
        if only is not Kind.products:
            done = stack.enter_context(records_of([topics.query.name], bars, "queries"))
            replayed = _queries(done, candidate, encoder, results)
            report["queries"] = replayed.json()
            _summarize("queries", replayed, "answered")
    if (products := report.get("products")) and products["content_hash"]:
        same = "the same as" if products["same_as_live"] else "different from"
        content = f"content {products['content_hash'][:16]}…, {products['items']} items"
        say(f"{content}: {same} the live index")
        say(f"next: lookstream generations promote {into}, or drop {into}")
    finish(report, json)


def _queries(reading: Reading, candidate: Settings, encoder: Any, results: Path | None) -> Replayed:
    from stream.codec import encode
    from workers.config.load_models import reranker_of
    from workers.jobs.replay import replay_queries

    reranker = reranker_of(candidate, encoder)
    if reranker.note:
        say(reranker.note)
    with ExitStack() as stack:
        file = stack.enter_context(results.open("wb")) if results else None

        def write(result: Result) -> None:
            if file:
                file.write(encode(result) + b"\n")

        return asyncio.run(
            replay_queries(
                reading.records,
                candidate,
                encoder,
                reranker,
                on_result=write,
                on_batch=reading.on_batch,
            )
        )


def _hashes(settings: Settings, candidate: Settings, model_id: str) -> dict[str, Any]:
    """Content hashes of what was built and of what is live: equal for equal catalogs."""
    from workers.catalog_index import CatalogIndex, open_catalog

    index = CatalogIndex(candidate, model_id)
    try:
        built = {"content_hash": index.content_hash(), "items": index.count()}
    finally:
        index.close()
    try:
        collection, _ = open_catalog(settings)
    except SettingsError:  # there is no live index yet
        return {**built, "live_content_hash": "", "same_as_live": False}
    with collection:
        live = collection.content_hash()
    return {**built, "live_content_hash": live, "same_as_live": live == built["content_hash"]}


def _summarize(what: str, replayed: Replayed, good: str) -> None:
    rate = replayed.read / max(replayed.seconds, 1e-9)
    partial = f" ({replayed.partial} without some pictures)" if replayed.partial else ""
    say(
        f"{replayed.read} {what} replayed in {replayed.seconds:.1f} s ({rate:.0f}/s): "
        f"{replayed.applied} {good}{partial}, {replayed.superseded} superseded, "
        f"{replayed.refused} refused"
    )
    for one in replayed.refusals[:10]:
        say(f"  {one['source']}  {one['error_class']}: {one['reason']}")
    if (reasons := replayed.refused + replayed.partial) > 10:
        say(f"  … and {reasons - 10} more: {dict(replayed.classes)}")
