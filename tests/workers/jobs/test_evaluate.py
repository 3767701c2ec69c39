"""Evaluation where something is missing: photos, or a reranker that was fitted on the encoder."""

import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from models.catalog.folder import Photo
from models.embedding.load import packaged_weights
from models.errors import CatalogError
from models.weights.files import read_weights, write_weights
from tests.paths import EXAMPLE
from workers.cli import app
from workers.jobs.query_photos import VIEWS_NOTE, query_photos

PRODUCTS = 12


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A dozen products of the example with their pictures, and no photos."""
    folder = tmp_path / "shop"
    folder.mkdir()
    rows = (EXAMPLE / "products.jsonl").read_bytes().splitlines()[:PRODUCTS]
    (folder / "products.jsonl").write_bytes(b"\n".join(rows))
    for row in rows:
        image = folder / orjson.loads(row)["image"]
        image.parent.mkdir(exist_ok=True)
        shutil.copyfile(EXAMPLE / image.relative_to(folder), image)
    return folder


def test_photos_are_photos() -> None:
    with query_photos(EXAMPLE, "test") as queried:
        assert not queried.note
        assert queried.views is None
        assert all(isinstance(photo, Photo) for photo in queried.photos)
    with (
        pytest.raises(CatalogError, match="no photo of split 'moon'"),
        query_photos(EXAMPLE, "moon"),
    ):
        pass


def test_without_photos_views_are_made_and_taken_away_again(pictures: Path) -> None:
    with query_photos(pictures, "test") as queried:
        assert queried.note == VIEWS_NOTE
        assert len(queried.photos) == PRODUCTS
        assert {photo.product_id for photo in queried.photos} == set(queried.catalog.by_id)
        assert all(Path(photo.image).is_file() for photo in queried.photos)
        assert queried.views
    assert not queried.views.exists()


def test_nothing_to_search_with_says_so(tmp_path: Path) -> None:
    row = {"product_id": "a", "title": "a", "image": "https://shop.example/a.jpg"}
    (tmp_path / "products.jsonl").write_bytes(orjson.dumps(row))
    with pytest.raises(CatalogError, match=r"write photos\.jsonl"), query_photos(tmp_path, "test"):
        pass


@pytest.mark.slow
def test_a_newly_trained_encoder_is_measured_fitted_and_measured_again(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a catalog of pictures alone, from `train embedding` on."""
    tensors, card = read_weights(packaged_weights("lite0"))
    write_weights(tmp_path / "trained.safetensors", tensors, {**card, "trained": "again"})
    monkeypatch.setenv("LOOKSTREAM_MODELS__BACKBONE", "lite0")
    monkeypatch.setenv("LOOKSTREAM_MODELS__PROJECTION", str(tmp_path / "trained.safetensors"))

    def evaluated() -> dict[str, Any]:
        done = CliRunner().invoke(
            app, ["evaluate", str(pictures), "--json", "--quiet"], catch_exceptions=False
        )
        report: dict[str, Any] = orjson.loads(done.stdout.splitlines()[-1])
        return report

    before = evaluated()
    views, reranker = before["notes"]
    assert views == VIEWS_NOTE
    assert "no reranker was fitted on the encoder lite0-" in reranker
    assert before["i_hr_1"] == before["retrieval_i_hr_1"]
    fitted = tmp_path / "reranker.json"
    CliRunner().invoke(
        app,
        ["train", "reranker", str(pictures), "--out", str(fitted), "--quiet"],
        catch_exceptions=False,
    )
    monkeypatch.setenv("LOOKSTREAM_MODELS__RERANKER", str(fitted))
    assert evaluated()["notes"] == [VIEWS_NOTE]
    monkeypatch.setenv("LOOKSTREAM_MODELS__DIM", "128")
    assert "vectors of another length" in evaluated()["notes"][1]
