"""`lookstream map FILE|TOPIC`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.console import Json, finish, print_line, say

if TYPE_CHECKING:
    from workers.jobs.map_sample import Mapped, Sample

SHOWN = 10
"""Problems that are printed."""
WIDTH = 160


def propose_map(
    source: Annotated[str, typer.Argument(help="A feed file, or the name of a topic.")],
    rows: Annotated[int, typer.Option(min=0, max=100, help="Rows to show before and after.")] = 10,
    json: Json = False,
) -> None:
    """Propose how rows of a file or topic become catalog events; print it as TOML.

    Columns are known by their names, in several languages, and by what is in them. The TOML goes to
    the standard output, and rows before and after, with what cannot be mapped, to the other one.
    Check it, then put it into the settings, or give it to `lookstream produce FILE --map`.

    [bold]Examples[/]

      lookstream map products.csv > map.toml
      lookstream produce products.csv --map map.toml --dry-run
      lookstream map shop.public.products
    """
    from dataclasses import asdict

    from workers.jobs.map_sample import preview, propose, sample_file, to_toml

    path = Path(source)
    sample = sample_file(path) if path.is_file() else _of_topic(source)
    proposal = propose(sample)
    shown = list(preview(sample, proposal, rows))
    toml = to_toml(sample, proposal)
    if not json:
        for line in toml.splitlines():
            print_line(line)
        _say_rows(shown)
        _say_rest(sample, proposal.unmapped)
    if "product_id" not in proposal.map:
        say("no column is an id that every row has and no two share: set product_id yourself")
    finish(
        {
            "source": source,
            "format": sample.format,
            "sampled": len(sample.changes),
            "map": proposal.map,
            "when": proposal.when,
            "unmapped": proposal.unmapped,
            "problems": list(sample.problems),
            "rows": [asdict(one) for one in shown],
            "toml": toml,
        },
        json,
    )
    if "product_id" not in proposal.map:
        raise typer.Exit(1)


def _of_topic(name: str) -> Sample:
    from stream.connection import check_broker
    from workers.config.settings import load_settings
    from workers.config.wiring import kafka_of
    from workers.errors import SettingsError
    from workers.jobs.map_sample import sample_topic

    if "/" in name or name.endswith((".csv", ".tsv", ".xml", ".jsonl", ".parquet")):
        raise SettingsError(f"there is no file {name}")
    kafka = kafka_of(load_settings())
    check_broker(kafka)
    return sample_topic(kafka, name)


def _say_rows(shown: list[Mapped]) -> None:
    for number, one in enumerate(shown, start=1):
        say(f"row {number}: {_cut(one.before)}")
        say(f"     → {one.problem or _cut(one.after)}")


def _say_rest(sample: Sample, unmapped: list[str]) -> None:
    if unmapped:
        say("not mapped:")
    for line in unmapped:
        say(f"  {line}")
    if sample.problems:
        say(f"{len(sample.problems)} rows cannot be read:")
    for line in sample.problems[:SHOWN]:
        say(f"  {line}")


def _cut(fields: object) -> str:
    from json import dumps

    text = dumps(fields, ensure_ascii=False, default=str)
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"
