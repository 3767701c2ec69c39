"""The parts of `bench catalogs`: catalogs left out, intervals, halves, ways to search."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.needs import needs_torch

pytestmark = needs_torch()

from benchmarks.unseen import variants as by
from benchmarks.unseen.catalog_task import VIEWS, CatalogTask, Limits, read_task
from benchmarks.unseen.features import Features, Rows
from benchmarks.unseen.left_out import LeftOut, leave_out
from benchmarks.unseen.measured import mean_of_first, measure
from benchmarks.unseen.taught import by_halves, trained
from models.arrays import Floats, unit
from models.embedding.layout import picture_parts
from models.embedding.pca import PrincipalAxes
from models.embedding.projection import Projection
from models.images.colour_histogram import COARSE, FINE

PRODUCTS, PHOTOS = 60, 3
WIDTHS = (6, 6, 8, 10)
KINDS = (("Home", "Cups"), ("Home", "Bowls"))


def write_catalog(folder: Path, *, products: bool = True, photos: bool = True) -> Path:
    """Products of two kinds, and photos of each of them in the splits train, test and val."""
    folder.mkdir()
    rows = [
        {"product_id": f"p{number}", "image": f"p{number}.png", "category": KINDS[number % 2]}
        for number in range(PRODUCTS)
    ]
    shown = [
        {
            "image": f"{number}-{split}.png",
            "split": split,
            "product_id": f"p{number}" if products else None,
            "category": KINDS[number % 2],
        }
        for number in range(PRODUCTS)
        for split in ("train", "test", "val")
    ]
    if products:
        (folder / "products.jsonl").write_text("\n".join(map(json.dumps, rows)))
    if photos:
        (folder / "photos.jsonl").write_text("\n".join(map(json.dumps, shown)))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_catalog(tmp_path / "shop")


@pytest.fixture
def task(folder: Path) -> CatalogTask:
    return read_task(folder, (), Limits())


def names(task: CatalogTask, rows: Rows) -> list[str]:
    return [Path(task.sources[row].path).name for row in rows.tolist()]


def test_an_unseen_catalog_is_asked_by_all_photos_a_seen_one_by_those_of_the_test_split(
    folder: Path, task: CatalogTask
) -> None:
    assert len(task.queries) == PRODUCTS * PHOTOS
    assert not task.seen
    seen = read_task(folder, ("shop",), Limits())
    assert seen.seen
    assert all(name.endswith("-test.png") for name in names(seen, seen.queries))
    assert not {"0-test.png", "0-val.png"} & set(names(task, task.learned_from))


def test_without_products_photos_of_other_splits_are_searched(tmp_path: Path) -> None:
    task = read_task(write_catalog(tmp_path / "kinds", products=False), (), Limits())
    assert all(name.endswith("-test.png") for name in names(task, task.queries))
    found = names(task, task.items)
    assert sum(name.endswith("-val.png") for name in found) == PRODUCTS
    assert sum(name.endswith("-train.png") for name in found) == 6
    right = measure(task, (task.levels <= 1).astype(np.float32))
    assert np.isnan(right.rates[0])
    assert (right.first, right.rates[1]) == (1, 1.0)


def test_a_catalog_without_photos_is_only_learned_from(tmp_path: Path) -> None:
    task = read_task(write_catalog(tmp_path / "plain", photos=False), (), Limits(learned_from=20))
    assert len(task.queries) == len(task.views) == 0
    assert len(task.learned_from) == 20


def test_each_item_is_shown_by_its_own_views(task: CatalogTask) -> None:
    for view, witness in zip(task.views, task.shown, strict=True):
        item = task.items[task.witnesses[witness]]
        assert task.sources[view].path == task.sources[item].path
    numbers = [task.sources[view].view for view in task.views]
    assert numbers == list(range(VIEWS)) * PRODUCTS


def test_photos_of_one_product_are_drawn_together(task: CatalogTask) -> None:
    # Half of all products are found by each of their photos, or every product by half of them.
    products = np.where(np.arange(len(task.asked)) % PHOTOS == 0, task.asked % 2 == 0, False)
    products = np.repeat(products[::PHOTOS], PHOTOS)
    apart = np.arange(len(task.asked)) % 2 == 0
    found = []
    for right in (products, apart):
        similarity = np.where(task.levels == 0, np.where(right, 1, -1)[:, None], 0)
        found.append(measure(task, similarity.astype(np.float32)))
    assert found[0].rates[0] == found[1].rates[0] == pytest.approx(0.5)
    low, high = found[0].interval(0)
    assert low < 0.4
    assert high > 0.6
    narrow = found[1].interval(0)
    assert narrow[1] - narrow[0] < 0.7 * (high - low)
    assert mean_of_first([found[0] - found[0]]) == (0, 0, 0)


def test_each_half_is_asked_of_what_never_saw_it(task: CatalogTask) -> None:
    calls = []

    def without(held_out: Rows) -> Floats:
        calls.append(set(held_out.tolist()))
        rows = np.zeros((len(task.queries), len(task.items)), np.float32)
        rows[:] = len(calls)
        return rows

    found = by_halves(task, without)
    assert len(calls) == 2
    assert calls[0] | calls[1] == set(range(PRODUCTS))
    assert not calls[0] & calls[1]
    for query, item in enumerate(task.asked.tolist()):
        assert item in calls[int(found[query, 0]) - 1]


def features_of(task: CatalogTask, *, colour_tells: bool) -> Features:
    """Depths that say the kind and little of the product; colours that say it, or mislead."""
    rng = np.random.default_rng(0)
    colours = rng.random((PRODUCTS, FINE.width)) ** 4
    own: dict[int, Floats] = {}
    rows = []
    for source in task.sources:
        number = int(Path(source.path).stem.partition("-")[0].removeprefix("p"))
        if number not in own:
            own[number] = np.eye(sum(WIDTHS))[number % 2] * 5 + rng.standard_normal(sum(WIDTHS))
        shown = colours[number if colour_tells else rng.integers(PRODUCTS)]
        rows.append(
            (
                own[number] + 1.5 * rng.standard_normal(sum(WIDTHS)),
                shown + 0.1 * rng.random(FINE.width),
            )
        )
    depths, fine = (np.array(part, np.float32) for part in zip(*rows, strict=True))
    return Features(
        tuple(np.split(depths, np.cumsum(WIDTHS)[:-1], axis=1)),
        unit(fine[:, : COARSE.width]),
        unit(fine),
        np.zeros((len(fine), 0), np.float32),
    )


def axes(inputs: int, outputs: int) -> PrincipalAxes:
    matrix = np.random.default_rng(inputs).standard_normal((inputs, outputs))
    return PrincipalAxes(np.zeros(inputs, np.float32), matrix.astype(np.float32))


def projection() -> Projection:
    depths = tuple(axes(width, width) for width in WIDTHS)
    whole = sum(WIDTHS) + COARSE.width
    return Projection(
        depths,
        axes(COARSE.width, COARSE.width),
        axes(sum(WIDTHS), 384),
        axes(FINE.width, 128),
        axes(WIDTHS[0], 64),
        {},
        identity=axes(whole, 128),
    )


def left_out(folder: Path, work: Path, *, colour_tells: bool, seen: bool = False) -> LeftOut:
    task = read_task(folder, (folder.name,) if seen else (), Limits())
    own = features_of(task, colour_tells=colour_tells)
    others = [features_of(task, colour_tells=True).of(task.learned_from)]
    return leave_out(task, own, others, projection(), None, work)


def test_an_identity_that_saw_the_catalog_is_left_out(folder: Path, tmp_path: Path) -> None:
    seen = left_out(folder, tmp_path, colour_tells=True, seen=True)
    unseen = left_out(folder, tmp_path, colour_tells=True)
    assert not picture_parts(seen.items)[0].any()
    assert picture_parts(unseen.items)[0].any(axis=1).all()
    assert seen.prior.identity == 0
    assert by.IDENTITY in by.single_parts(unseen)
    assert by.IDENTITY not in by.single_parts(seen)


@pytest.mark.parametrize("colour_tells", [True, False])
def test_colour_counts_where_it_tells_products_apart(
    folder: Path, tmp_path: Path, colour_tells: bool
) -> None:
    catalog = left_out(folder, tmp_path, colour_tells=colour_tells, seen=True)
    alone = by.single_parts(catalog)[by.COLOUR].rates[0]
    assert (alone > 0.9) == colour_tells
    evidence, found = by.by_evidence(catalog)
    weights, prior = evidence.weighed.weights, catalog.prior
    more_colour = weights.colour / weights.appearance > prior.colour / prior.appearance
    assert more_colour == colour_tells
    assert found[by.SERVED].rates[0] >= found[by.PRIOR].rates[0]
    assert evidence.exam is not None
    if not evidence.adapted:
        assert found[by.ADAPTED] is found[by.SERVED]
    fixed = by.by_fixed_weights(catalog, by.best_fixed_weights([catalog]))
    assert fixed[by.BEST_FIXED].rates[0] >= found[by.SERVED].rates[0] - 1e-9


@pytest.mark.slow
def test_training_on_views_makes_the_identity_count(folder: Path, tmp_path: Path) -> None:
    catalog = left_out(folder, tmp_path, colour_tells=False)
    before = by.single_parts(catalog)[by.IDENTITY].rates[0]
    after = trained(catalog)
    assert after[by.TRAINED].rates[0] > before
    assert after[by.TRAINED].rates[0] >= after[by.TRAINED_APART].rates[0]
