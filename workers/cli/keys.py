"""`lookstream keys NAME`."""

from __future__ import annotations

from typing import Annotated

import typer

from workers.cli.console import Json, finish, print_line, say


def keys(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    scopes: Annotated[
        list[str] | None, typer.Option("--scope", help="search or write; repeatable.")
    ] = None,
    json: Json = False,
) -> None:
    """Make an API key for the web worker.

    Prints the key, which is shown only now, and its line for `web.keys_file`, which has its hash.

    [bold]Examples[/]

      lookstream keys shop-frontend
      lookstream keys catalog-import --scope write --scope search
    """
    from workers.web.api_keys import make_key

    word, key = make_key(name, scopes or ["search"])
    if not json:
        say("the key, which is kept nowhere:")
        print_line(word)
        say("its line for the file that web.keys_file (LOOKSTREAM_WEB__KEYS_FILE) names:")
        print_line(str(key))
    finish({"key": word, "line": str(key)}, json)
