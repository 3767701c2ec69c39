"""Pages of the reference, made by MkDocs from settings, messages, commands and the client.

A hook of `mkdocs.yml`: nothing of these pages is kept as a file.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.core import TyperGroup
from typer.main import get_command

import lookstream
from lookstream.products import AsyncProducts, Products
from stream.json_schema import message_schemas
from workers.cli import app
from workers.config.settings import Settings

Schema = dict[str, Any]
MARKUP = re.compile(r"\[/?(?:bold)?\]")
EXAMPLE = re.compile(r"^  (?=\S)", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages (called by MkDocs)."""
    for name, page in pages().items():
        files.append(File.generated(config, f"reference/{name}.md", content=page))
    return files


def pages() -> dict[str, str]:
    """The Markdown of each page by its name."""
    return {
        "settings": "\n".join(settings_page()),
        "messages": "\n".join(messages_page()),
        "commands": "\n".join(commands_page()),
        "python": "\n".join(python_page()),
    }


def settings_page() -> Iterator[str]:
    """Every setting: its variable, type, default and meaning."""
    yield "# Settings\n"
    yield (
        "A profile is a TOML file with a table for each section; a variable of the environment "
        "goes before it ([your Kafka and Milvus](../your-kafka-and-milvus.md)).\n"
    )
    schema = Settings.model_json_schema()
    yield from _settings(schema, schema, ())


def _settings(schema: Schema, root: Schema, path: tuple[str, ...]) -> Iterator[str]:
    sections = {}
    rows = []
    for name, field in schema.get("properties", {}).items():
        found = _resolved(field, root)
        if "properties" in found:
            sections[name] = found
        else:
            variable = "LOOKSTREAM_" + "__".join([*path, name]).upper()
            cells = (f"`{name}`", _type(field, root), _default(field), f"`{variable}`")
            rows.append((*cells, field.get("description", "")))
    if rows:
        yield from _table(("setting", "type", "default", "variable", ""), rows)
    for name, section in sections.items():
        yield f"\n{'#' * (len(path) + 2)} `{'.'.join([*path, name])}`\n"
        if text := section.get("description"):
            yield _prose(text)
        yield from _settings(section, root, (*path, name))


def messages_page() -> Iterator[str]:
    """Every message and what it is made of, field by field."""
    yield "# Messages\n"
    yield "What is on the topics, for programs: [schemas](../schemas.md).\n"
    parts: Schema = {}
    for name, schema in message_schemas().items():
        parts |= schema.get("$defs", {})
        yield from _struct(name, schema)
    yield "\n## Parts of messages\n"
    for name, schema in sorted(parts.items()):
        yield from _struct(name, {**schema, "$defs": parts}, "###")


def _struct(name: str, schema: Schema, heading: str = "##") -> Iterator[str]:
    yield f"\n{heading} `{name}`\n"
    yield _prose(schema.get("description", ""))
    needed = schema.get("required", ())
    rows = [
        (f"`{field}`", _type(one, schema), "needed" if field in needed else _default(one))
        for field, one in schema.get("properties", {}).items()
    ]
    yield from _table(("field", "type", "default"), rows)


def commands_page() -> Iterator[str]:
    """Every command with its options."""
    yield "# Commands\n"
    root = get_command(app)
    commands = root.commands if isinstance(root, TyperGroup) else {}
    for name, command in sorted(commands.items()):
        parts = command.commands.items() if isinstance(command, TyperGroup) else ()
        yield from _command(name, command)
        for part, one in sorted(parts):
            yield from _command(f"{name} {part}", one)


def _command(name: str, command: Any) -> Iterator[str]:
    yield f"\n## `lookstream {name}`\n"
    yield _prose(EXAMPLE.sub("    ", MARKUP.sub("", inspect.cleandoc(command.help or ""))))
    rows = []
    for one in command.params:
        names = ", ".join(f"`{name}`" for name in (*one.opts, *one.secondary_opts))
        shown = names if one.opts[0].startswith("-") else f"`{(one.name or '').upper()}`"
        default = one.default if isinstance(one.default, str | float) or one.default else ""
        text = MARKUP.sub("", getattr(one, "help", "") or "")
        rows.append((shown, f"`{default}`" if default not in ("", True) else "", text))
    if rows:
        yield from _table(("option", "default", ""), rows)


def python_page() -> Iterator[str]:
    """The client's classes and their methods."""
    yield "# Python\n"
    names = ", ".join(f"`{name}`" for name in lookstream.__all__)
    yield f"`import lookstream` has {names}.\n"
    for kind, title in (
        (lookstream.Client, "Client"),
        (Products, "Client.products"),
        (lookstream.AsyncClient, "AsyncClient"),
        (AsyncProducts, "AsyncClient.products"),
    ):
        yield f"\n## `{title}`\n"
        yield f"```text\n{inspect.getdoc(kind)}\n```\n"
        for name, method in inspect.getmembers(kind, inspect.isfunction):
            if not name.startswith("_"):
                signature = str(inspect.signature(method)).replace("self, ", "").replace("'", "")
                yield f"\n### `{name}`\n"
                yield f"```text\n{name}{signature}\n\n{inspect.getdoc(method)}\n```\n"


def _resolved(schema: Schema, root: Schema) -> Schema:
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


def _type(schema: Schema, root: Schema) -> str:
    """A type in words, with its bounds."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(one, root) for one in schema["anyOf"]))
    if "$ref" in schema:
        found = _resolved(schema, root)
        return _type(found, root) if "enum" in found else f"`{found.get('title', 'object')}`"
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return ", ".join(f"`{value}`" for value in values)
    kind = str(schema.get("type", "any"))
    if kind == "array" and isinstance(schema.get("items"), dict):
        kind = f"list of {_type(schema['items'], root)}"
    bounds = [
        f"{sign} {schema[name]}"
        for name, sign in (
            ("minimum", "≥"),
            ("exclusiveMinimum", ">"),
            ("maximum", "≤"),
            ("exclusiveMaximum", "<"),
        )
        if name in schema
    ]
    for name, what in (("maxLength", "characters"), ("maxItems", "of them")):
        if name in schema:
            bounds.append(f"at most {schema[name]} {what}")
    return f"{kind} ({', '.join(bounds)})" if bounds else kind


def _default(schema: Schema) -> str:
    default = schema.get("default")
    return "" if default in (None, "", [], {}) else f"`{default}`"


def _prose(text: str) -> str:
    """A docstring: paragraphs, and its indented blocks as they are."""
    return inspect.cleandoc(text).replace("\nAttributes:\n", "\nFields:\n\n").replace("*", r"\*")


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield ""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '&#124;').replace(chr(10), ' ') for cell in row)} |"
