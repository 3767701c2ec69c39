"""What a training run announces."""

from pathlib import Path

import pytest

from tests.models.training.embedding.shop import PRODUCTS, write_shop, write_tiny_backbone
from tests.needs import needs_torch

pytestmark = needs_torch()

from models.catalog.folder import read_catalog
from models.training.embedding.dataset import TrainingConfig, collect_sources
from models.training.embedding.plan import NO_SPLIT, Costs, Work, left_out, plan_training
from workers.cli.training_report import plan_lines


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shop(tmp_path_factory.mktemp("shop"))


def test_every_product_is_learned_from_or_left_out_for_a_reason(tmp_path: Path) -> None:
    folder = write_shop(tmp_path, 12)
    lines = (folder / "products.jsonl").read_text().splitlines()
    lines += ['{"product_id": "web", "image": "https://shop.example/1.jpg"}']
    (folder / "products.jsonl").write_text("\n".join(lines))
    photos = (folder / "photos.jsonl").read_text().replace(', "split": "test"', "")
    (folder / "photos.jsonl").write_text(photos)
    found = {one.reason: one.products for one in left_out(read_catalog(folder), "train", None)}
    assert found == {
        'their photos are of the split "val"': ("p0", "p4", "p8"),
        f"their photos are of {NO_SPLIT}": ("p5", "p9"),
        "they have no picture in a file": ("web",),
    }


def test_time_is_that_of_views_steps_and_a_third_of_a_step_for_each_other_batch() -> None:
    views, training = Costs(view_s=0.02, step_s=3.0).seconds(Work(views=100, steps=10, forward=6))
    assert views == pytest.approx(2)
    assert training == pytest.approx(36)


@pytest.mark.slow
def test_a_plan_says_what_is_learned_asked_and_left_out(shop: Path, tmp_path: Path) -> None:
    tiny = write_tiny_backbone(tmp_path)
    config = TrainingConfig(folders=(shop,), backbone=tiny, contrast_passes=0.1, passes=2)
    seen: list[tuple[int, int]] = []
    plan = plan_training(config, processes=1, progress=lambda *done: seen.append(done))
    (one,) = plan.catalogs
    assert one.products == PRODUCTS
    assert one.exam is not None
    assert len(one.exam.products) == len(one.exam.photos) == 9
    assert sum(len(each.products) for each in one.left_out) == 18 + 17
    sources = collect_sources(config)
    assert one.pictures == len(sources.pictures.sources)
    assert one.identities == sources.pictures.identities == 36
    draws = int(sources.pictures.draws.sum())
    assert plan.work.steps == 1 + 2 * (draws // 64)
    assert plan.costs.view_s > 0
    assert plan.costs.step_s > 0
    assert seen[-1][0] == seen[-1][1]
    said = "\n".join(plan_lines(plan, tmp_path / "new"))
    assert 'left out, their photos are of the split "val": 18 products (p0, p4, p8, …)' in said
    assert 'exam by 9 photos of the split "val"' in said
    assert f"for {plan.work.steps} steps" in said
    assert "earlier run" not in said
    assert "earlier run" in "\n".join(plan_lines(plan, tmp_path))
