"""`lookstream schema`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from workers.cli.console import Json, finish, say


def schema(
    out: Annotated[
        Path | None, typer.Option(help="Write asyncapi.json and a JSON Schema for each message.")
    ] = None,
    json: Json = False,
) -> None:
    """Describe the topics for machines: AsyncAPI 3, and a JSON Schema for each message.

    Without `--out` the AsyncAPI document is printed.

    [bold]Examples[/]

      lookstream schema > asyncapi.json

      lookstream schema --out docs/schemas
    """
    import orjson

    documents = schema_documents()
    if out is None:
        document = documents["asyncapi.json"]
        typer.echo(orjson.dumps(document, option=0 if json else orjson.OPT_INDENT_2))
        return
    out.mkdir(parents=True, exist_ok=True)
    for name, one in documents.items():
        (out / name).write_bytes(orjson.dumps(one, option=orjson.OPT_INDENT_2) + b"\n")
    say(f"{len(documents)} files in {out}")
    finish({"out": str(out), "files": sorted(documents)}, json)


def schema_documents() -> dict[str, dict[str, Any]]:
    """Every document by the name of its file."""
    from importlib.metadata import version

    from stream.asyncapi import asyncapi_document
    from stream.json_schema import message_schemas

    schemas = {f"{name}.json": one for name, one in message_schemas().items()}
    return {"asyncapi.json": asyncapi_document(version("lookstream")), **schemas}
