"""The exam of a training run: is a catalog searched better after it than before?

Asked are photos of the split "val": of half of the products that they show, while those of the
others select the model. A catalog with too few of them keeps products out of training, and asks by
views of their pictures, made as `models.images.views` makes them and not as training does. Both
encoders answer as they would serve the catalog, with part weights that its evidence speaks for
(`models.embedding.part_weights`): views of other products.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from models.arrays import Floats, unit
from models.catalog.folder import Catalog, Photo, Product
from models.embedding.identity_library import IdentityLibrary
from models.embedding.layout import PartWeights, PictureParts, compose_item, query_for_item
from models.embedding.part_weights import Witnesses, weigh_parts
from models.errors import TrainingError
from models.evaluation.metrics import Level, relevance
from models.training.embedding.feature_cache import FeatureCache, Rows, Source
from models.training.embedding.run_state import TrainableEncoder
from models.training.embedding.samples import training_products
from models.training.embedding.validation import (
    MAX_PHOTOS,
    RetrievalTask,
    documents,
    encode_rows,
    known_photos,
)

VALIDATION_SPLIT = "val"

MIN_PRODUCTS = 8
"""Fewer products tell nothing from chance."""

ONE_IN, ONE_IN_OF_FEW, ENOUGH = 10, 5, 20
"""Of the products that could be learned from, one in ten is held out; one in five while that is
less than 20, so that 40 products leave an exam of 8."""

MAX_PRODUCTS = 500
VIEWS = 8
"""Of each picture: half with little change of light, half with much."""

WITNESS_VIEW, MAX_WITNESSES = 2, 300
"""The number of the view, one with little change of light, that witnesses for part weights, and of
how many products."""

MAX_DOCUMENTS = 3000
"""Products searched in; of a larger catalog the others are taken at even steps."""


@dataclass(frozen=True)
class ExamQuestions:
    """What a catalog is asked.

    Attributes:
        products: ids of the products to be found, in the catalog's order.
        photos: of the split "val", that show them; none where views are asked instead.
    """

    products: tuple[str, ...]
    photos: tuple[Photo, ...] = ()

    @property
    def held_out(self) -> Collection[str]:
        """The products that are kept out of training."""
        return () if self.photos else self.products


@dataclass(frozen=True, eq=False)
class ExamTask:
    """The questions with the rows that their pictures have in a cache.

    Attributes:
        questions: of one catalog.
        search: what is asked with, and searched in.
        witness_rows: views that witness for part weights, (w,).
        witnessed: the numbers of the products, in ``search``, that they show, (w,).
    """

    questions: ExamQuestions
    search: RetrievalTask
    witness_rows: Rows
    witnessed: Rows


@dataclass(frozen=True)
class CatalogExam:
    """How a catalog was searched: hit rates 0..1, before and after training.

    Attributes:
        catalog: its folder's name.
        products, queries: asked.
        queries_are: photos, or views.
        before, after: ``i_hr_1`` and ``c_hr_1``, see `models.evaluation.metrics`.
        gain, error: of the mean of both, and its standard error over products.
    """

    catalog: str
    products: int
    queries: int
    queries_are: str
    before: dict[str, float]
    after: dict[str, float]
    gain: float
    error: float


@dataclass(frozen=True)
class Exam:
    """The exam of all catalogs, which count the same."""

    catalogs: tuple[CatalogExam, ...]

    @property
    def gain(self) -> float:
        """The mean gain of the catalogs."""
        return float(np.mean([one.gain for one in self.catalogs]))

    @property
    def error(self) -> float:
        """Its standard error."""
        errors = [one.error for one in self.catalogs]
        return float(np.linalg.norm(errors)) / len(errors)

    @property
    def passed(self) -> bool:
        """Better by more than the error, and no catalog worse by more than its own."""
        worse = any(one.gain < -one.error for one in self.catalogs)
        return self.gain > self.error and not worse

    @property
    def report(self) -> dict[str, object]:
        """The exam under its JSON keys."""
        return {
            "passed": self.passed,
            "gain": round(self.gain, 4),
            "error": round(self.error, 4),
            "catalogs": [asdict(one) for one in self.catalogs],
        }


def draw_exams(
    catalogs: Sequence[Catalog], split: str, *, limit: int | None = None, seed: int = 0
) -> list[ExamQuestions | None]:
    """The questions to each catalog; None to one with too few products.

    Args:
        catalogs: that are trained on.
        split: of the photos that are trained on.
        limit: of the pictures of each catalog that are trained on.
        seed: of the draw of products.

    Raises:
        TrainingError: there are questions to none.
    """
    drawn = [
        _by_photos(catalog, split, seed) or _by_views(catalog, split, limit, seed)
        for catalog in catalogs
    ]
    if not any(drawn):
        needed = MIN_PRODUCTS * ONE_IN_OF_FEW
        raise TrainingError(
            f"{', '.join(str(one.folder) for one in catalogs)}: too few products for an exam, so "
            f"nobody could tell whether training made anything better. Needed are {needed} "
            f'products with pictures in files, or photos of the split "{VALIDATION_SPLIT}" of '
            f"{2 * MIN_PRODUCTS}. Products whose photos are of other splits, or of none, do not "
            "count: nothing is learned from them"
        )
    return drawn


def _by_photos(catalog: Catalog, split: str, seed: int) -> ExamQuestions | None:
    if split == VALIDATION_SPLIT:
        return None
    pictured = {one.product_id for one in documents(catalog)}
    photos = [one for one in known_photos(catalog, VALIDATION_SPLIT) if one.product_id in pictured]
    shown = {one.product_id for one in photos}
    if len(shown) < 2 * MIN_PRODUCTS:
        return None
    found = [one for one in catalog.products if one.product_id in shown]
    products = _draw(found, len(found) // 2, seed)
    asked = [one for one in photos if one.product_id in products]
    return ExamQuestions(products, tuple(asked[:: -(-len(asked) // MAX_PHOTOS)]))


def _by_views(catalog: Catalog, split: str, limit: int | None, seed: int) -> ExamQuestions | None:
    pictured = {one.product_id for one in documents(catalog)}
    found = [one for one in training_products(catalog, split) if one.product_id in pictured]
    of = min(len(found), limit or len(found))
    count = max(of // ONE_IN, min(ENOUGH, of // ONE_IN_OF_FEW))
    if count < MIN_PRODUCTS:
        return None
    return ExamQuestions(_draw(found, min(count, MAX_PRODUCTS), seed))


def _draw(products: Sequence[Product], count: int, seed: int) -> tuple[str, ...]:
    drawn = np.random.default_rng(seed).permutation(len(products))[:count]
    return tuple(products[place].product_id for place in sorted(drawn))


def exam_task(
    catalog: Catalog, questions: ExamQuestions, first: int = 0
) -> tuple[list[Source], ExamTask]:
    """The pictures of an exam, and their rows; ``first`` is that of the first picture."""
    asked = set(questions.products)
    found = documents(catalog)
    others = [one for one in found if one.product_id not in asked]
    others = others[:: max(1, -(-len(others) // max(1, MAX_DOCUMENTS - len(asked))))]
    products = [one for one in found if one.product_id in asked] + others
    sources = [Source(catalog.locate(photo.image), 1) for photo in questions.photos]
    photos, photo_rows = list(questions.photos), list(range(first, first + len(sources)))
    product_rows, row = [], first + len(sources)
    step = max(1, -(-len(others) // MAX_WITNESSES))
    witnessed = np.arange(len(products) - len(others), len(products), step)
    for number, product in enumerate(products):
        views = VIEWS if product.product_id in questions.held_out else 0
        made = WITNESS_VIEW if number in witnessed else views
        sources.append(Source(catalog.locate(product.image or ""), 1 + made))
        product_rows.append(row)
        photo_rows += range(row + 1, row + 1 + views)
        shown = Photo(
            image=product.image or "", product_id=product.product_id, category=product.category
        )
        photos += [shown] * views
        row += 1 + made
    rows = np.array(product_rows, np.int64)
    search = RetrievalTask(tuple(photos), tuple(products), np.array(photo_rows, np.int64), rows)
    return sources, ExamTask(questions, search, rows[witnessed] + WITNESS_VIEW, witnessed)


def served_hits(
    tower: TrainableEncoder | None,
    library: IdentityLibrary | None,
    cache: FeatureCache,
    task: ExamTask,
) -> Floats:
    """Whether the first product is the one shown, and of its category: (2, queries), 0 or 1.

    Args:
        tower: gives the identity; None as long as nothing was trained.
        library: gives the prior of part weights.
        cache: of the pictures; its projection gives appearance and colour.
        task: queries, products and witnesses.
    """
    search = task.search
    items, shown, views = (
        _items(tower, cache, rows)
        for rows in (search.product_rows, search.photo_rows, task.witness_rows)
    )
    share = 0.0 if library is None else library.identity_weight(items)
    kinds = {one: number for number, one in enumerate({p.category for p in search.products})}
    categories = [kinds[one.category] if one.category else -1 for one in search.products]
    witnesses = Witnesses(
        items, np.arange(len(items)), np.array(categories, np.intp), views, task.witnessed
    )
    weights = weigh_parts(witnesses, PartWeights.with_identity(share)).weights
    nearest = [int((items @ query_for_item(one, None, weights)).argmax()) for one in shown]
    levels = relevance(search.photos, search.products)[np.arange(len(nearest)), nearest]
    return np.stack([levels == Level.INSTANCE, levels <= Level.CONCEPT]).astype(np.float32)


def compare(catalog: str, task: ExamTask, before: Floats, after: Floats) -> CatalogExam:
    """The exam of a catalog from the hits (2, queries) of `served_hits`."""
    change = (after - before).mean(axis=0)
    names = np.array([photo.product_id for photo in task.search.photos])
    by_product = np.array([change[names == one].mean() for one in np.unique(names)])
    rates = [
        {"i_hr_1": round(float(hits[0].mean()), 4), "c_hr_1": round(float(hits[1].mean()), 4)}
        for hits in (before, after)
    ]
    return CatalogExam(
        catalog=catalog,
        products=len(by_product),
        queries=len(names),
        queries_are="photos" if task.questions.photos else "views",
        before=rates[0],
        after=rates[1],
        gain=float(by_product.mean()),
        error=float(by_product.std(ddof=1) / np.sqrt(len(by_product))),
    )


def _items(tower: TrainableEncoder | None, cache: FeatureCache, rows: Rows) -> Floats:
    """The vectors (n, 768) of items without text."""
    identities = [None] * len(rows) if tower is None else unit(encode_rows(tower, cache, rows))
    parts = zip(identities, cache.appearances(rows), cache.colours(rows), strict=True)
    return np.stack([compose_item(PictureParts(*one), None) for one in parts])
