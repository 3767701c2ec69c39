"""`lookstream curate`: the clicks it reads, and the page of doubtful members."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.curation.curate import curate
from models.curation.documents import Documents, View
from models.curation.label_noise import corrupt
from stream.record_file import write_recording
from stream.records import Record
from tests.models.planted_clusters import truth_of, vectors
from workers.cli.curate import read_clicks
from workers.errors import WorkerError
from workers.reports.curation_page import write_page

CLICK = {
    "type": "attributed_click",
    "click_id": "c1",
    "query_id": "photo-1",
    "product_id": "P-1",
    "item_id": "P-1",
    "position": 3,
    "impression_time": 1,
    "click_time": 2,
}


def test_clicks_are_read_one_a_line_and_from_a_recording(tmp_path: Path) -> None:
    plain, recorded = tmp_path / "clicks.jsonl", tmp_path / "recording.jsonl"
    plain.write_text(json.dumps(CLICK) + "\n\n")
    record = Record(
        topic="t",
        partition=0,
        offset=0,
        key=b"k",
        value=json.dumps(CLICK).encode(),
        timestamp_ms=5,
    )
    write_recording([record], recorded)
    assert list(read_clicks(plain)) == list(read_clicks(recorded)) == [("photo-1", "P-1", 3)]


def test_a_line_that_is_no_click_is_named(tmp_path: Path) -> None:
    path = tmp_path / "clicks.jsonl"
    path.write_text(json.dumps(CLICK) + '\n{"type": "click"}\n')
    with pytest.raises(WorkerError, match=r"clicks\.jsonl:2 is no attributed click"):
        list(read_clicks(path))
    with pytest.raises(WorkerError, match="cannot read"):
        list(read_clicks(tmp_path / "none"))


def test_the_page_shows_doubtful_documents_and_escapes_their_names(tmp_path: Path) -> None:
    truth = truth_of(6)
    Image.new("RGB", (40, 30), "red").save(tmp_path / "0.png")
    docs = Documents(
        corrupt(truth, 0.2, 0),
        tuple(f"<b>{label}" for label in range(6)),
        (View("picture", vectors(truth)),),
        tuple(f"{row}.png" for row in range(len(truth))),
    )
    found = curate(docs)
    assert found.flagged.any()
    page = tmp_path / "page.html"
    write_page(page, tmp_path, docs, found)
    text = page.read_text()
    assert "&lt;b&gt;" in text
    assert "<b>" not in text
    assert "http" not in text
    assert text.count('class="doubtful relabelled"') == found.flagged.sum()
    assert "data:image/webp" in text
    assert np.isfinite(found.error_probability).all()
