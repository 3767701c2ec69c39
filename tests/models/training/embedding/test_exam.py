"""What the exam of a training run asks, and what its answers say."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.needs import needs_torch

pytestmark = needs_torch()

from models.catalog.folder import Catalog, Photo, Product
from models.errors import TrainingError
from models.training.embedding.exam import (
    MAX_DOCUMENTS,
    MAX_WITNESSES,
    VIEWS,
    CatalogExam,
    Exam,
    ExamQuestions,
    compare,
    draw_exams,
    exam_task,
)
from models.training.embedding.samples import collect_pictures


def catalog(products: int, splits: Sequence[str | None] = ()) -> Catalog:
    """Products, and a photo of each of the first of them."""
    return Catalog(
        folder=Path("/shop"),
        products=tuple(
            Product(product_id=f"p{number}", image=f"{number}.png", category=("A",))
            for number in range(products)
        ),
        photos=tuple(
            Photo(image=f"{number}.jpg", product_id=f"p{number}", split=split)
            for number, split in enumerate(splits)
        ),
    )


def only(*drawn: ExamQuestions | None) -> ExamQuestions:
    (questions,) = drawn
    assert questions is not None
    return questions


@pytest.mark.parametrize(("products", "asked"), [(40, 8), (99, 19), (100, 20), (417, 41)])
def test_products_are_kept_out_of_training_where_there_are_no_photos(
    products: int, asked: int
) -> None:
    shop = catalog(products)
    questions = only(*draw_exams([shop], "train"))
    assert len(questions.products) == asked
    assert questions.held_out == questions.products
    assert not questions.photos
    learned = collect_pictures([shop], held_out=[questions.held_out])
    names = {Path(source.path).stem for source in learned.sources}
    assert names == {str(n) for n in range(products)} - {one[1:] for one in questions.products}


def test_the_draw_depends_on_the_seed_alone() -> None:
    shop = catalog(200)
    assert draw_exams([shop], "train", seed=1) == draw_exams([shop], "train", seed=1)
    assert draw_exams([shop], "train", seed=1) != draw_exams([shop], "train", seed=2)


def test_photos_of_a_product_that_is_kept_out_are_not_learned_from() -> None:
    shop = catalog(50, ["train"] * 50)
    questions = only(*draw_exams([shop], "train"))
    learned = collect_pictures([shop], held_out=[questions.held_out])
    assert len(learned.sources) == 2 * (50 - len(questions.products))


def test_photos_for_validation_are_asked_by_half() -> None:
    shop = catalog(50, ["val"] * 20)
    questions = only(*draw_exams([shop], "train"))
    assert len(questions.products) == len(questions.photos) == 10
    assert {photo.product_id for photo in questions.photos} == set(questions.products)
    assert not questions.held_out


def test_photos_that_are_trained_on_are_not_asked() -> None:
    questions = only(*draw_exams([catalog(50, ["val"] * 50)], "val"))
    assert not questions.photos
    assert questions.held_out


def test_products_that_other_photos_keep_out_are_not_asked() -> None:
    questions = only(*draw_exams([catalog(90, ["test"] * 50)], "train"))
    assert len(questions.products) == 8
    assert all(int(one[1:]) >= 50 for one in questions.products)


def test_a_limit_of_pictures_limits_the_exam() -> None:
    assert len(only(*draw_exams([catalog(3000)], "train", limit=200)).products) == 20


def test_catalogs_too_small_for_an_exam_are_refused_together() -> None:
    small = catalog(39)
    assert draw_exams([small, catalog(40)], "train")[0] is None
    with pytest.raises(TrainingError, match="40 products with pictures"):
        draw_exams([small, small], "train")


def test_views_of_the_asked_are_searched_among_all() -> None:
    shop = catalog(50)
    questions = only(*draw_exams([shop], "train"))
    sources, task = exam_task(shop, questions, first=7)
    starts = 7 + np.concatenate([[0], np.cumsum([source.views for source in sources])])
    shown = [Path(one.path).stem for one in sources for _ in range(one.views)]
    search = task.search
    assert search.product_rows.tolist() == starts[:-1].tolist()
    assert len(search.products) == 50
    assert len(search.photo_rows) == len(search.photos) == VIEWS * len(questions.products)
    for row, photo in zip(search.photo_rows, search.photos, strict=True):
        assert f"p{shown[row - 7]}" == photo.product_id


def test_other_products_witness_for_part_weights() -> None:
    shop = catalog(2000, ["val"] * 40)
    for questions in (only(*draw_exams([shop], "train")), only(*draw_exams([shop], "val"))):
        sources, task = exam_task(shop, questions)
        shown = [Path(one.path).stem for one in sources for _ in range(one.views)]
        assert MAX_WITNESSES / 2 < len(task.witnessed) <= MAX_WITNESSES
        assert not set(task.witness_rows) & set(task.search.photo_rows)
        assert not set(task.witness_rows) & set(task.search.product_rows)
        for row, number in zip(task.witness_rows, task.witnessed, strict=True):
            assert f"p{shown[row]}" == task.search.products[number].product_id
            assert task.search.products[number].product_id not in questions.products


def test_a_large_catalog_is_searched_in_part() -> None:
    shop = catalog(2 * MAX_DOCUMENTS, ["val"] * 40)
    questions = only(*draw_exams([shop], "train"))
    _, task = exam_task(shop, questions)
    names = [product.product_id for product in task.search.products]
    assert set(questions.products) <= set(names)
    assert len(names) == len(set(names)) <= MAX_DOCUMENTS
    assert max(int(one[1:]) for one in names) > 1.9 * MAX_DOCUMENTS


def test_products_count_the_same_however_many_photos_they_have() -> None:
    shop = catalog(3)
    photos = [Photo(image=f"{n}", product_id=name) for n, name in enumerate("aaab")]
    questions = ExamQuestions(("a", "b"), tuple(photos))
    _, task = exam_task(shop, questions)
    before = np.zeros((2, 4), np.float32)
    after = np.array([[1, 1, 1, 0], [1, 1, 1, 0]], np.float32)
    found = compare("shop", task, before, after)
    assert (found.products, found.queries, found.queries_are) == (2, 4, "photos")
    assert found.gain == pytest.approx(0.5)
    assert found.error == pytest.approx(0.5)  # std of (1, 0) is .71, over the root of 2
    assert found.after == {"i_hr_1": 0.75, "c_hr_1": 0.75}


@pytest.mark.parametrize(
    ("changes", "passed"),
    [
        ([(0.05, 0.02)], True),
        ([(0.02, 0.02)], False),
        ([(0.0, 0.0)], False),
        ([(-0.05, 0.02)], False),
        ([(0.2, 0.02), (0.0, 0.03)], True),
        ([(0.2, 0.02), (-0.05, 0.03)], False),  # one of them is worse
    ],
)
def test_better_is_by_more_than_the_error_and_nowhere_worse(
    changes: list[tuple[float, float]], passed: bool
) -> None:
    rates = {"i_hr_1": 0.5, "c_hr_1": 0.5}
    exam = Exam(
        tuple(
            CatalogExam("shop", 20, 40, "views", rates, rates, gain, error)
            for gain, error in changes
        )
    )
    assert exam.passed is passed
    assert exam.report["passed"] is passed
