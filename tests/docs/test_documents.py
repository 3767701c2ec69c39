"""The documents are true: what they link to, name and tell the reader to type is there."""

import re
import tomllib
from collections.abc import Callable, Iterator

import pytest

from tests.docs import names
from tests.docs.markdown import Document, read_document
from tests.paths import ROOT

FOLDERS = (*names.ROOMS, "docs", "examples")
DOCUMENTS = [
    read_document(path)
    for path in sorted(
        [*ROOT.glob("*.md"), *(p for f in FOLDERS for p in (ROOT / f).rglob("*.md"))]
    )
]
RECORDS = {one.path.name[:4]: one for one in DOCUMENTS if re.match(r"docs/decisions/\d", str(one))}
# Decision 12 is about a layout that was tried and not taken.
NOT_TAKEN = re.compile(r"lookstream[./]stream")

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=str)
each_record = pytest.mark.parametrize("record", RECORDS.values(), ids=str)


def wrong(
    code: tuple[str, ...], find: Callable[[str], Iterator[str]], holds: Callable[[str], bool]
) -> list[str]:
    """What the code names that does not hold."""
    found = {name for line in code for name in find(line) if not NOT_TAKEN.match(name)}
    return sorted(name for name in found if not holds(name))


@each_document
def test_links_resolve(document: Document) -> None:
    broken = []
    for link in document.links:
        if "://" in link:
            continue
        target, _, wanted = link.partition("#")
        path = (document.path.parent / target).resolve() if target else document.path
        if not path.exists() or (wanted and wanted not in read_document(path).headings):
            broken.append(link)
    assert broken == []


@each_document
def test_paths_exist(document: Document) -> None:
    assert wrong(document.code, names.paths, names.path_exists) == []


@each_document
def test_modules_and_settings_exist(document: Document) -> None:
    assert wrong(document.code, names.dotted_names, names.dotted_exists) == []
    assert wrong(document.code, names.variables, names.dotted_exists) == []


@each_document
def test_commands_and_their_options_exist(document: Document) -> None:
    found = [words for line in document.code for words in names.commands(line)]
    assert [problem for words in found if (problem := names.command_problem(words))] == []


@each_document
def test_make_targets_and_extras_exist(document: Document) -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = set(project["optional-dependencies"])
    code = "\n".join(document.code)
    assert set(re.findall(r"^make (\w+)", code, re.MULTILINE)) <= targets
    asked = re.findall(r"(?:lookstream|\.)\[([\w,]+)\]", code)
    assert {extra for one in asked for extra in one.split(",")} <= extras


def test_the_readme_lists_every_command() -> None:
    table = (ROOT / "README.md").read_text("utf-8").partition("| command |")[2].partition("\n\n")[0]
    listed = re.findall(r"`([a-z ]+)`", "".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE)))
    assert sorted(listed) == names.all_commands()


def test_contributing_names_every_lane() -> None:
    pytest_options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]
    markers = {line.partition(":")[0] for line in pytest_options["ini_options"]["markers"]}
    code = "\n".join(read_document(ROOT / "CONTRIBUTING.md").code)
    assert set(re.findall(r"pytest -m (\w+)", code)) == markers


@pytest.mark.parametrize("room", names.ROOMS)
def test_modules_settings_and_commands_named_in_the_code_exist(room: str) -> None:
    problems = []
    for path in sorted((ROOT / room).rglob("*.py")):
        code = tuple(names.code_in_python(path))
        bad = wrong(code, names.dotted_names, names.dotted_exists)
        bad += filter(
            None, map(names.command_problem, (w for c in code for w in names.commands(c)))
        )
        problems += [f"{path.relative_to(ROOT)}: {one}" for one in bad]
    assert problems == []


@each_record
def test_a_record_has_a_date_and_a_status(record: Document) -> None:
    lines = record.path.read_text("utf-8").splitlines()
    number = int(record.path.name[:4])
    assert re.fullmatch(rf"# {number}\. .+", lines[0])
    assert re.match(r"Date: \d{4}-\d\d-\d\d\. Status: (accepted|(partly )?superseded)\.", lines[2])


def test_records_that_change_others_are_linked_both_ways() -> None:
    links = {
        number: {link[:4] for link in record.links if link[:4] in RECORDS}
        for number, record in RECORDS.items()
    }
    one_way = [
        f"{number} is superseded by none that links back"
        for number, record in RECORDS.items()
        if "superseded." in record.path.read_text("utf-8").splitlines()[2]
        and not any(later > number and number in links[later] for later in links[number])
    ]
    assert one_way == []


def test_the_index_lists_every_record_as_it_is() -> None:
    expected = []
    for record in RECORDS.values():
        lines = record.path.read_text("utf-8").splitlines()
        date, status = re.findall(r"(?:Date|Status): ([\w -]+)\.", lines[2])
        title = lines[0].partition(". ")[2]
        link = f"[{record.path.name[:4]}]({record.path.name})"
        expected.append(f"| {link} | {title} | {date} | {status} |")
    index = (ROOT / "docs/decisions/README.md").read_text("utf-8").splitlines()
    assert [line for line in index if line.startswith("| [0")] == expected


def test_the_glossary_is_in_order() -> None:
    glossary = (ROOT / "docs/glossary.md").read_text("utf-8").splitlines()
    terms = [line.split(" | ")[0] for line in glossary if line.startswith("| ")][1:]
    assert terms == sorted(terms, key=str.casefold)
    assert len(terms) == len({term.casefold() for term in terms})
