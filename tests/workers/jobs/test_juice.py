"""`juice`: what is written, that a run goes on, and what is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import orjson
import pytest
from PIL import Image

from models.catalog.folder import read_catalog
from models.curation.juicing import Way
from models.errors import CatalogError
from models.images.files import open_picture
from tests.doubles.colours import ColourEncoder
from workers.jobs.juice import JOURNAL, JuiceSettings, juice_folder
from workers.reports.juice_page import write_juice_page

PHOTOS = 20


def quiet(done: int, total: int) -> None:
    """No progress."""


def settings(way: Way = Way.JUICE, keep: float = 0.5) -> JuiceSettings:
    return JuiceSettings(way=way, keep=keep, split="train", seed=0, model_id="m")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A product with a picture, twenty photos to train on and one to validate."""
    made = tmp_path / "shop"
    (made / "p").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("item", "val", *map(str, range(PHOTOS))):
        pixels = rng.integers(0, 256, (80, 120, 3), np.uint8)
        Image.fromarray(pixels).save(made / "p" / f"{name}.png")
    product = {"product_id": "a", "title": "mug", "image": "p/item.png"}
    (made / "products.jsonl").write_bytes(orjson.dumps(product))
    rows = [{"image": f"p/{at}.png", "product_id": "a", "split": "train"} for at in range(PHOTOS)]
    rows.append({"image": "p/val.png", "product_id": "a", "split": "val"})
    (made / "photos.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    return made


def test_juicing_keeps_every_photo_with_fewer_pixels(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = juice_folder(folder, out, settings(), ColourEncoder(), quiet)
    assert found.counts["kept"] == PHOTOS
    assert 0.4 < found.counts["pixel_share"] <= 0.5
    catalog = read_catalog(out)
    assert [one.split for one in catalog.photos] == ["train"] * PHOTOS + ["val"]
    for one in catalog.photos[:PHOTOS]:
        pixels = open_picture(Path(catalog.locate(one.image)))
        assert pixels.shape[0] * pixels.shape[1] <= 4800
        assert one.text == "mug"
    assert catalog.photos[-1].image == str(folder / "p/val.png")
    assert catalog.products[0].image == str(folder / "p/item.png")
    page = tmp_path / "report.html"
    write_juice_page(page, folder, out, settings(), found)
    assert page.read_text().count("<li") == PHOTOS


@pytest.mark.parametrize("way", [Way.SIEVE, Way.RANDOM])
def test_baselines_keep_a_share_of_whole_photos(folder: Path, tmp_path: Path, way: Way) -> None:
    found = juice_folder(folder, tmp_path / "out", settings(way, 0.3), ColourEncoder(), quiet)
    assert found.counts["kept"] == 6
    photos = read_catalog(tmp_path / "out").split("train")
    assert len(photos) == 6
    assert all(Path(one.image).parent == folder / "p" for one in photos)


def test_an_interrupted_run_goes_on(folder: Path, tmp_path: Path) -> None:
    class Interrupted(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done:
            raise Interrupted

    out, whole = tmp_path / "out", tmp_path / "whole"
    with pytest.raises(Interrupted):
        juice_folder(folder, out, settings(), ColourEncoder(), stop)
    with (out / JOURNAL).open("ab") as journal:
        journal.write(b'{"image":"p/1')  # cut off in a line
    again = ColourEncoder()
    resumed = juice_folder(folder, out, settings(), again, quiet)
    assert again.looked_at == PHOTOS - 16  # the first batch is not encoded again
    assert resumed == juice_folder(folder, whole, settings(), ColourEncoder(), quiet)
    assert (out / "photos.jsonl").read_bytes() == (whole / "photos.jsonl").read_bytes()


def test_what_is_refused(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    juice_folder(folder, out, settings(), ColourEncoder(), quiet)
    other = msgspec.structs.replace(settings(), keep=0.7)
    with pytest.raises(CatalogError, match="other options"):
        juice_folder(folder, out, other, ColourEncoder(), quiet)
    with pytest.raises(CatalogError, match="not empty"):
        juice_folder(folder, folder, settings(), ColourEncoder(), quiet)
    (folder / "photos.jsonl").write_bytes(b'{"image":"https://x.example/a.png","split":"train"}')
    with pytest.raises(CatalogError, match="is no file"):
        juice_folder(folder, tmp_path / "third", settings(), ColourEncoder(), quiet)
