"""The studio's pictures and its folder: rendered, so few and small."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
import pytest

from models.catalog.folder import read_catalog
from models.errors import SyntheticError
from models.images.corruptions import CLUTTER, PIXEL_CORRUPTIONS, corrupt
from models.images.files import open_picture
from models.synthetic import write_synthetic_catalog
from models.synthetic.near_duplicates import design
from models.synthetic.photography import on_white, photo
from models.synthetic.render_pool import opened
from models.synthetic.rows import SPLITS
from models.synthetic.scene import Renderer

pytest.importorskip("pyvista")

SIZE = 64


@pytest.fixture(scope="module")
def studio() -> Iterator[Renderer]:
    try:
        yield opened(SIZE)
    except SyntheticError as error:
        pytest.skip(str(error))


def test_the_same_scene_gives_the_same_pixels(studio: Renderer) -> None:
    first = studio.render(photo(design(0, 3), 1).scene)
    studio.render(on_white(design(0, 8)).scene)
    again = studio.render(photo(design(0, 3), 1).scene)
    assert first.shape == (SIZE, SIZE, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)


@pytest.mark.parametrize("index", range(6))
def test_boxes_hold_the_pixels_of_the_product_and_no_more(studio: Renderer, index: int) -> None:
    made = design(5, index)
    for shot in (on_white(made), photo(made, 0)):
        mask = studio.mask(shot.scene.things[0], shot.scene.camera)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        seen = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        box = np.array(shot.box) * SIZE
        # A rod thinner than a pixel may not show at its very end.
        assert (seen[:2] >= box[:2] - 1).all()
        assert (seen[2:] <= box[2:] + 1).all()
        assert np.abs(seen - box).max() < 4


def test_a_product_on_white_stands_out_and_twins_differ_a_little(studio: Renderer) -> None:
    index = next(i for i in range(1, 60) if design(0, i).near_duplicate_of is not None)
    twin, base = design(0, index), design(0, index - 1)
    one, other = (studio.render(on_white(made).scene).astype(int) for made in (twin, base))
    far = studio.render(on_white(design(0, index + 2)).scene).astype(int)
    assert (one[:3] > 240).all()
    assert (one < 235).any(axis=2).mean() > 0.05
    assert 0 < np.abs(one - other).mean() < np.abs(one - far).mean() * 1.5


def test_clutter_changes_the_surroundings_not_the_product(studio: Renderer) -> None:
    made, number = next(
        (made, number)
        for made in (design(0, index) for index in range(20))
        for number in range(3)
        if photo(made, number).strengths.get(CLUTTER, 0) > 0.5 and made.main.material != "glass"
    )
    cluttered, clean = photo(made, number), photo(made, number, tuple(PIXEL_CORRUPTIONS))
    with_, without = studio.render(cluttered.scene), studio.render(clean.scene)
    mask = studio.mask(clean.scene.things[0], clean.scene.camera)
    changed = (with_ != without).any(axis=2)
    assert changed[~mask].mean() > 0.8
    assert changed[mask].mean() < 0.5


def test_every_photo_is_disturbed_as_its_row_says(studio: Renderer) -> None:
    shot = next(
        shot for index in range(30) if "blur" in (shot := photo(design(0, index), 0)).strengths
    )
    plain = studio.render(shot.scene)
    assert not np.array_equal(corrupt(plain, shot.strengths, shot.seed), plain)


def test_a_folder_is_a_catalog(studio: Renderer, tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    made = write_synthetic_catalog(
        tmp_path / "shop",
        products=4,
        photos=1,
        size=SIZE,
        processes=1,
        progress=lambda *step: done.append(step),
    )
    assert done[-1] == (8, 8)
    assert (made.products, made.photos, made.pictures, made.rendered) == (4, 4, 8, 8)
    assert sum(made.splits.values()) == 4
    catalog = read_catalog(tmp_path / "shop")
    assert [product.product_id for product in catalog.products] == [
        design(0, index).product_id for index in range(4)
    ]
    for photo_ in catalog.photos:
        assert photo_.category == catalog.by_id[photo_.product_id or ""].category
        assert photo_.split in SPLITS
        assert open_picture(Path(catalog.locate(photo_.image))).shape == (SIZE, SIZE, 3)
    rows = [
        orjson.loads(line) for line in (tmp_path / "shop/photos.jsonl").read_bytes().splitlines()
    ]
    for row in rows:
        left, top, right, bottom = row["box"]
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1
        assert set(row["disturbances"]) <= {CLUTTER, *PIXEL_CORRUPTIONS}


def test_a_folder_grows_and_goes_on_where_it_stopped(studio: Renderer, tmp_path: Path) -> None:
    def make(name: str, products: int) -> int:
        return write_synthetic_catalog(
            tmp_path / name, products=products, photos=1, size=SIZE, processes=1
        ).rendered

    def content(name: str) -> dict[str, bytes]:
        folder = tmp_path / name
        return {
            str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.*"))
        }

    assert make("whole", 3) == 6
    assert make("whole", 3) == 0
    assert make("grown", 2) == 4
    assert make("grown", 3) == 2
    assert content("grown") == content("whole")
    # Interrupted: the mark of completeness and some pictures are missing.
    options = orjson.loads((tmp_path / "grown/studio.json").read_bytes())
    (tmp_path / "grown/studio.json").write_bytes(orjson.dumps({**options, "complete": None}))
    os.remove(tmp_path / f"grown/photos/{design(0, 1).product_id}-0.webp")
    os.remove(tmp_path / "grown/photos.jsonl")
    assert make("grown", 3) == 1
    assert content("grown") == content("whole")


def test_another_catalog_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "products.jsonl").write_text('{"product_id": "a"}\n')
    with pytest.raises(SyntheticError, match="another catalog"):
        write_synthetic_catalog(tmp_path, products=1)
    (tmp_path / "studio.json").write_text('{"seed": 1}')
    with pytest.raises(SyntheticError, match="other options"):
        write_synthetic_catalog(tmp_path, products=1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"products": 0},
        {"products": 1, "disturbances": ["rain"]},
        {"products": 1, "size": 4},
        {"products": 1, "splits": {"train": -1.0}},
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(SyntheticError):
        write_synthetic_catalog(tmp_path / "no", **wrong)  # type: ignore[arg-type]
    assert not (tmp_path / "no").exists()


@pytest.mark.slow
def test_two_processes_write_what_one_writes(studio: Renderer, tmp_path: Path) -> None:
    for processes in (1, 2):
        write_synthetic_catalog(
            tmp_path / str(processes), products=3, photos=1, size=SIZE, processes=processes
        )
    for path in (tmp_path / "1").rglob("*.*"):
        twin = tmp_path / "2" / path.relative_to(tmp_path / "1")
        assert path.read_bytes() == twin.read_bytes()
