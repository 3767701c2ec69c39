"""What the names in documents stand for: modules, settings, commands, found without importing."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from pydantic import BaseModel
from typer.core import TyperGroup
from typer.main import get_command

from tests.paths import ROOT
from workers.cli import app
from workers.config.settings import Settings

ROOMS = ("lookstream", "stream", "models", "index", "workers", "configs", "benchmarks", "tests")
FOLDERS = (*ROOMS, "docs", "examples", r"\.ci", r"\.github")
PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./*-]*")
SECTIONS = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
}
DOTTED = re.compile(rf"(?<![\w./=-])(?:{'|'.join({*ROOMS, *SECTIONS})})(?:\.\w+)++(?![/:])")
VARIABLE = re.compile(r"\bLOOKSTREAM_([A-Z0-9]+)__([A-Z0-9_]+)")
COMMAND = re.compile(r"\blookstream +([a-z].*)")
BACKTICKS = re.compile(r"``([^`\n]+)``|`([^`\n]+)`")
made_once = cache(get_command)
FILE_TYPES = ("toml", "py", "md", "jsonl", "json", "html")


def paths(code: str) -> Iterator[str]:
    """Paths below our folders; `*` stands for anything."""
    for found in PATH.findall(code):
        yield found.rstrip(".")


def path_exists(path: str) -> bool:
    """Whether a path or pattern from the root names something."""
    if "*" not in path:
        return (ROOT / path).exists()
    return any(True for _ in ROOT.glob(path.rstrip("/")))


def dotted_names(code: str) -> Iterator[str]:
    """Names such as `models.embedding.layout.PartWeights` and `kafka.bootstrap`."""
    for found in DOTTED.findall(code):
        if found.rpartition(".")[2] not in FILE_TYPES:
            yield found


def dotted_exists(name: str) -> bool:
    """Whether a name is a module, something defined in one, or a setting."""
    return setting_exists(name.split(".")) or _in_modules(name.split("."))


def setting_exists(keys: list[str]) -> bool:
    """Whether a setting is there: its section, then its key, and so on."""
    model: object = Settings
    for key in keys:
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return False
        if key not in model.model_fields:
            return False
        model = model.model_fields[key].annotation
    return True


def variables(code: str) -> Iterator[str]:
    """The settings that environment variables name, by section and key."""
    for section, key in VARIABLE.findall(code):
        yield ".".join([section.lower(), *key.lower().split("__")])


def commands(code: str) -> Iterator[list[str]]:
    """The words after `lookstream`, up to the end of the command."""
    for found in COMMAND.findall(code):
        words = re.split(r"\s[#|;&>]|[;…]|,(?:\s|$)", found)[0].replace("'", "")
        yield shlex.split(words)


def command_problem(words: list[str]) -> str | None:
    """What is wrong with a command line; None where there is such a command with such options."""
    here, rest = made_once(app), list(words)
    while isinstance(here, TyperGroup) and rest and rest[0][0].islower():
        chosen = rest.pop(0).split("|")
        if unknown := [name for name in chosen if name not in here.commands]:
            return f"there is no command {', '.join(unknown)}"
        here = here.commands[chosen[0]]
    if here.name == "bench":
        known = {path.stem for path in (ROOT / "benchmarks").glob("[!_]*.py")}
        unknown = [name for name in rest[:1] if name[0].islower() and name not in known]
        return f"there is no benchmark {unknown[0]}" if unknown else None
    options = {option for one in here.params for option in (*one.opts, *one.secondary_opts)}
    for word in rest:
        option = word.partition("=")[0]
        if option.startswith("--") and option not in {*options, "--help"}:
            return f"{here.name} has no option {option}"
    return None


def all_commands() -> list[str]:
    """Every command, as it is typed after `lookstream`."""
    group = made_once(app)
    assert isinstance(group, TyperGroup)
    return sorted(
        f"{name} {part}".rstrip()
        for name, command in group.commands.items()
        for part in (command.commands if isinstance(command, TyperGroup) else ("",))
    )


def _in_modules(parts: list[str]) -> bool:
    """Whether a name is a package, a module, or defined in one; members of it are not looked at."""
    place = ROOT
    for depth, part in enumerate(parts):
        if (place / part).is_dir():
            place /= part
        elif (module := place / f"{part}.py").is_file():
            return depth + 1 == len(parts) or parts[depth + 1] in defined_names(module)
        else:
            package = place / "__init__.py"
            return package.is_file() and part in defined_names(package)
    return True


@cache
def defined_names(module: Path) -> frozenset[str]:
    """What a module defines or imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Name(ctx=ast.Store()):
                names.add(node.id)
            case ast.alias():
                names.add(node.asname or node.name)
    return frozenset(names)


def code_in_python(path: Path) -> Iterator[str]:
    """What stands in backticks in the docstrings and comments of a module."""
    for double, single in BACKTICKS.findall(path.read_text("utf-8")):
        yield double or single
