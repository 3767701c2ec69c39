"""The contact sheet: self-contained, escaped, with what the juicer kept in the right place."""

import re
from pathlib import Path

import pytest
from PIL import Image

from stream.messages import QueryJuice
from workers.reports.contact_sheet import Answer, Rectangle, Row, write_contact_sheet


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.new("RGB", (200, 100), "red").save(path)
    return path


def row(photo: Path | None, *answers: Answer) -> Row:
    juice = QueryJuice(grid=(3, 3), kept=(4,), box=(0.0, 0.0, 0.5, 1.0))
    return Row(photo, "an <apple>", juice, answers)


def test_the_grid_lies_over_the_padded_square(photo: Path) -> None:
    shown = row(photo)
    assert shown.frame == Rectangle(0, 25, 100, 50)
    assert shown.box == Rectangle(0, 25, 50, 50)
    assert len(shown.dropped) == 8
    assert Rectangle(100 / 3, 100 / 3, 100 / 3, 100 / 3) not in shown.dropped


def test_the_page_loads_nothing_and_escapes_everything(photo: Path, tmp_path: Path) -> None:
    answers = [
        Answer("<b>bold</b>", photo, 0.5, 0),
        Answer("kind", photo, 0.25, 1),
        Answer("other", None, 0.1, None),
    ]
    page = tmp_path / "page.html"
    write_contact_sheet(page, "Lookstream on <shop>", [("I-HR@1", "50 %")], [row(photo, *answers)])
    html = page.read_text(encoding="utf-8")
    assert "<b>bold" not in html
    assert "<shop>" not in html
    assert "an &lt;apple&gt;" in html
    assert "50 %" in html
    assert len(re.findall('class="instance"', html)) == 1
    assert len(re.findall('class="concept"', html)) == 1
    assert "no picture" in html
    assert not re.findall(r'(?:src|href)="(?!data:)[^"]', html)


def test_a_picture_that_cannot_be_opened_is_left_out(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_contact_sheet(page, "x", [], [row(tmp_path / "missing.png")])
    assert page.is_file()
