"""Rendered pictures and the folder of a synthetic catalog: few and small."""

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
from models.synthetic.near_duplicates import sample_product
from models.synthetic.photography import packshot, shopper_photo
from models.synthetic.render_pool import open_renderer
from models.synthetic.rows import SPLITS
from models.synthetic.scene import Renderer
from tests.needs import load_triton

pytest.importorskip("pyvista")

SIZE = 64


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    load_triton()
    try:
        yield open_renderer(SIZE)
    except SyntheticError as error:
        pytest.skip(str(error))


@pytest.mark.slow
def test_the_same_scene_gives_the_same_pixels(renderer: Renderer) -> None:
    first = renderer.render(shopper_photo(sample_product(0, 3), 1).scene)
    renderer.render(packshot(sample_product(0, 8)).scene)
    again = renderer.render(shopper_photo(sample_product(0, 3), 1).scene)
    assert first.shape == (SIZE, SIZE, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)


@pytest.mark.slow
@pytest.mark.parametrize("index", range(6))
def test_boxes_hold_the_pixels_of_the_product_and_no_more(renderer: Renderer, index: int) -> None:
    made = sample_product(5, index)
    for shot in (packshot(made), shopper_photo(made, 0)):
        mask = renderer.mask(shot.scene.products[0], shot.scene.camera)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        visible = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        box = np.array(shot.box) * SIZE
        # A rod thinner than a pixel may not show at its very end.
        assert (visible[:2] >= box[:2] - 1).all()
        assert (visible[2:] <= box[2:] + 1).all()
        assert np.abs(visible - box).max() < 4


def test_a_packshot_is_on_white_and_near_duplicates_differ_a_little(renderer: Renderer) -> None:
    index = next(i for i in range(1, 60) if sample_product(0, i).near_duplicate_of is not None)
    duplicate, base = sample_product(0, index), sample_product(0, index - 1)
    one, other = (renderer.render(packshot(made).scene).astype(int) for made in (duplicate, base))
    far = renderer.render(packshot(sample_product(0, index + 2)).scene).astype(int)
    assert (one[:3] > 240).all()
    assert (one < 235).any(axis=2).mean() > 0.05
    assert 0 < np.abs(one - other).mean() < np.abs(one - far).mean() * 1.5


def test_clutter_changes_the_surroundings_not_the_product(renderer: Renderer) -> None:
    made, number = next(
        (made, number)
        for made in (sample_product(0, index) for index in range(20))
        for number in range(3)
        if shopper_photo(made, number).strengths.get(CLUTTER, 0) > 0.5
        and made.main.material != "glass"
    )
    cluttered, clean = (
        shopper_photo(made, number),
        shopper_photo(made, number, tuple(PIXEL_CORRUPTIONS)),
    )
    with_, without = renderer.render(cluttered.scene), renderer.render(clean.scene)
    mask = renderer.mask(clean.scene.products[0], clean.scene.camera)
    changed = (with_ != without).any(axis=2)
    assert changed[~mask].mean() > 0.8
    assert changed[mask].mean() < 0.5


def test_photos_have_the_corruptions_of_their_row(renderer: Renderer) -> None:
    shot = next(
        shot
        for index in range(30)
        if "blur" in (shot := shopper_photo(sample_product(0, index), 0)).strengths
    )
    plain = renderer.render(shot.scene)
    assert not np.array_equal(corrupt(plain, shot.strengths, shot.seed), plain)


def test_a_folder_is_a_catalog(renderer: Renderer, tmp_path: Path) -> None:
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
        sample_product(0, index).product_id for index in range(4)
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
        assert set(row["corruptions"]) <= {CLUTTER, *PIXEL_CORRUPTIONS}


def test_a_folder_grows_and_is_resumed(renderer: Renderer, tmp_path: Path) -> None:
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
    # Interrupted: not marked complete, and some pictures are missing.
    options = orjson.loads((tmp_path / "grown/synthetic.json").read_bytes())
    (tmp_path / "grown/synthetic.json").write_bytes(orjson.dumps({**options, "complete": None}))
    os.remove(tmp_path / f"grown/photos/{sample_product(0, 1).product_id}-0.webp")
    os.remove(tmp_path / "grown/photos.jsonl")
    assert make("grown", 3) == 1
    assert content("grown") == content("whole")


def test_another_catalog_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "products.jsonl").write_text('{"product_id": "a"}\n')
    with pytest.raises(SyntheticError, match="another catalog"):
        write_synthetic_catalog(tmp_path, products=1)
    (tmp_path / "synthetic.json").write_text('{"seed": 1}')
    with pytest.raises(SyntheticError, match="other options"):
        write_synthetic_catalog(tmp_path, products=1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"products": 0},
        {"products": 1, "corruptions": ["rain"]},
        {"products": 1, "size": 4},
        {"products": 1, "splits": {"train": -1.0}},
    ],
)
def test_impossible_options_are_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(SyntheticError):
        write_synthetic_catalog(tmp_path / "no", **wrong)  # type: ignore[arg-type]
    assert not (tmp_path / "no").exists()


@pytest.mark.slow
def test_two_processes_write_what_one_writes(renderer: Renderer, tmp_path: Path) -> None:
    for processes in (1, 2):
        write_synthetic_catalog(
            tmp_path / str(processes), products=3, photos=1, size=SIZE, processes=processes
        )
    for path in (tmp_path / "1").rglob("*.*"):
        other = tmp_path / "2" / path.relative_to(tmp_path / "1")
        assert path.read_bytes() == other.read_bytes()
