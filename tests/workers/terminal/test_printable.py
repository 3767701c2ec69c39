"""What others wrote is shown on a terminal, never obeyed."""

import ast
import io
import json
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.table import Table

from tests.paths import ROOT
from workers.terminal.console import SafeConsole
from workers.terminal.printable import printable, printable_json

REORDERING = {chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
ANYTHING = st.text(st.characters(exclude_categories=()), max_size=60)


def harmful(text: str) -> set[str]:
    """Characters that a terminal obeys, or that cannot be encoded."""
    return {
        one
        for one in text
        if unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") or one in REORDERING
    }


@given(ANYTHING)
@example("\x1b]0;owned\x07\x9b2J\u202e\u2028\ud83d")
def test_no_control_character_is_left(text: str) -> None:
    shown = printable(text)
    assert not harmful(shown)
    assert printable(shown) == shown
    assert harmful(printable(text, lines=True)) <= {"\n", "\t"}
    shown.encode()


@given(st.text(st.characters(exclude_categories=("C", "Zl", "Zp"))))
@example("Smoked salmon 🐟 👨\u200d👩\u200d👧 فارسی می\u200cخواهم")
def test_what_can_be_printed_stays(text: str) -> None:
    assert printable(text) == text


def test_what_is_written_out_can_be_recognised() -> None:
    assert printable("a\x1b[2J\nb\u202ec\x9b") == r"a\x1b[2J\nb\u202ec\x9b"
    assert printable("a\r\n\tb", lines=True) == "a\\r\n\tb"


@given(st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=3))
@example({"\x9b31m": "\x7f\u202e\u2028"})
def test_json_is_the_same_value_without_them(value: dict[str, str]) -> None:
    text = printable_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(text) == value
    assert not harmful(text)


@given(ANYTHING)
@example("[bold]title[/x] :warning: \x1b[31mred")
def test_a_console_neither_obeys_nor_interprets(text: str) -> None:
    file = io.StringIO()
    SafeConsole(file=file).print(text, soft_wrap=True)
    shown, expected = file.getvalue(), printable(text, lines=True) + "\n"
    assert not harmful(shown) - {"\n"}
    # Tabs become spaces, as many as the widths of the characters before them ask for.
    without_blanks = str.maketrans("", "", " \t")
    assert shown.translate(without_blanks) == expected.translate(without_blanks)


def test_the_cells_and_the_title_of_a_table_too() -> None:
    file = io.StringIO()
    drawn = Table("\x1bhead", title="[/]\x1btitle")
    drawn.add_row("\x9bcell [red]")
    SafeConsole(file=file).print(drawn)
    assert harmful(file.getvalue()) == {"\n"}
    assert "[red]" in file.getvalue()


def test_there_is_no_other_console() -> None:
    """`print` and consoles of rich's own would print what others wrote as it is."""
    for path in [*ROOT.glob("workers/**/*.py"), *ROOT.glob("lookstream/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("print", "Console"), path


@pytest.mark.parametrize("text", ["", "a\tb", "\n"])
def test_edges(text: str) -> None:
    assert printable(text, lines=True) == text
