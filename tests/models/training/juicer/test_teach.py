"""`lookstream train juicer`: the file that it writes is a head, learned from photos to train on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from tests.needs import needs_torch

pytestmark = needs_torch()

from models.backbone.load import load_backbone
from models.backbone.spec import named_backbone
from models.errors import CatalogError
from models.images.letterbox import letterbox, normalise
from models.juicer.product_head import load_product_head
from models.training.juicer.teach import TaughtCounts
from workers.cli import app

PRODUCTS, BACKGROUNDS = 24, 5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Discs on white, and photos to train on; those of the split test are not there at all."""
    made = tmp_path / "shop"
    made.mkdir()
    rng = np.random.default_rng(0)
    products = []
    for number in range(PRODUCTS):
        image = Image.new("RGB", (90, 90), "white")
        colour = tuple(int(one) for one in rng.integers(0, 200, 3))
        ImageDraw.Draw(image).ellipse((15, 20, 75, 70), fill=colour)
        image.save(made / f"{number}.png")
        products.append({"product_id": str(number), "title": "disc", "image": f"{number}.png"})
    photos = [{"image": f"test{at}.png", "product_id": "0", "split": "test"} for at in range(9)]
    for number in range(BACKGROUNDS):
        pixels = rng.integers(0, 256, (80, 80, 3), np.uint8)
        Image.fromarray(pixels).save(made / f"train{number}.png")
        photos.append({"image": f"train{number}.png", "product_id": "0", "split": "train"})
    for name, rows in (("products", products), ("photos", photos)):
        (made / f"{name}.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    return made


@pytest.mark.slow
def test_the_file_is_a_head_and_photos_to_test_on_are_not_read(
    folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "products.safetensors"
    words = ["train", "juicer", str(folder), "--out", str(out), "--pictures", "100"]
    done = CliRunner().invoke(app, [*words, "--passes", "2", "--json"])
    assert done.exit_code == 0, done.stderr
    card = orjson.loads(done.stdout)
    assert card["cut_outs"] == PRODUCTS
    assert card["backgrounds"] == BACKGROUNDS
    assert 64 <= card["pictures"] <= 100

    spec = named_backbone("lite2")
    network = load_backbone(spec, threads=1)
    head = load_product_head(out, network.layout.widths)
    canvas, frame = letterbox(np.asarray(Image.open(folder / "0.png")), spec.size)
    (rows,) = network.patches(normalise(canvas)[None])
    found = head(network.layout.depths(rows), frame, network.layout.grid)
    assert found.share.shape == (81,)
    assert 0 <= min(found.box) <= max(found.box) <= 1


def test_a_catalog_without_plain_backgrounds_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "products.jsonl").write_bytes(b"")
    words = ["train", "juicer", str(folder), "--out", str(tmp_path / "x.safetensors")]
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, CatalogError)
    assert "plain background" in str(done.exception)


def test_fewer_pictures_are_of_the_same_kinds() -> None:
    counts = TaughtCounts().scaled_to(390)
    assert counts == TaughtCounts(260, 70, 60)
    assert TaughtCounts().scaled_to(101).all == 101
