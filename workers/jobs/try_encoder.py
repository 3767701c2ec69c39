"""`lookstream models try`: another encoder against the present one, before a reindex.

Both encode the same sample of a catalog and answer the same queries by exact search, by the part
weights that the catalog would give them. What is compared is retrieval alone: a reranker is fitted
to its encoder.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from models.arrays import Floats
from models.catalog.folder import Product
from models.embedding.layout import PartWeights
from models.embedding.part_weights import Mask, Numbers, Witnesses, weigh_parts
from models.embedding.protocol import CatalogEncoder, Encoded
from models.evaluation.paired import Paired, paired
from models.images.letterbox import Picture
from workers.jobs.trial_material import VIEWS, Material
from workers.progress.tasks import Progress

BY_PHOTOS, BY_PICTURES, BY_VIEWS, OF_KINDS = "photos", "pictures", "views", "kinds"
"""The exams: a photo, another picture of a product or a view finds its product first (a photo of
which only the category is known, that one), and the nearest item of another product is of an
item's category."""

TIMED = 3
"""Pictures that are timed to say how long all will take."""

ASK_TOGETHER = 64


@dataclass(frozen=True)
class Trial:
    """Two encoders on one catalog.

    Attributes:
        products, pictures: of the sample.
        exams: by their names, those that had queries; the present encoder is the first of the two.
        present_id, candidate_id: their model ids.
        present_ms, candidate_ms: for a picture, from pixels to juice.
    """

    products: int
    pictures: int
    exams: dict[str, Paired]
    present_id: str
    candidate_id: str
    present_ms: float
    candidate_ms: float

    def report(self) -> dict[str, object]:
        """The figures under their JSON keys."""
        exams = {
            name: {
                **asdict(one),
                "difference": one.difference,
                "error": one.error if np.isfinite(one.error) else None,
                "outcome": one.outcome,
            }
            for name, one in self.exams.items()
        }
        return {**asdict(self), "exams": exams}


@dataclass
class _Contestant:
    """An encoder at work, and the time that it takes for pictures."""

    encoder: CatalogEncoder
    seconds: float = 0.0
    pictures: int = 0
    alone: list[Encoded] = field(default_factory=list)
    items: list[Floats] = field(default_factory=list)

    def see(self, picture: Picture) -> Encoded:
        """A picture without words."""
        began = time.perf_counter()
        (encoded,) = self.encoder.encode_items([picture], [None])
        self.seconds += time.perf_counter() - began
        self.pictures += 1
        return encoded

    def add(self, picture: Picture, product: Product) -> None:
        """An item of the catalog, and its picture alone."""
        alone = self.see(picture)
        shown = alone if self.encoder.replaces_text else picture
        (item,) = self.encoder.encode_items([shown], [product.text], [product.category])
        self.alone.append(alone)
        self.items.append(item.vector)

    @property
    def ms(self) -> float:
        """Milliseconds for a picture."""
        return 1000 * self.seconds / self.pictures


def try_encoder(
    material: Material,
    present: CatalogEncoder,
    candidate: CatalogEncoder,
    progress: Progress,
    *,
    weigh: bool = True,
) -> Trial:
    """Examine two encoders with the same material.

    Args:
        material: what they are examined with.
        present: the encoder of the index.
        candidate: the one that may take its place.
        progress: of the work, with a note on how long it will take.
        weigh: let the catalog weigh the parts of each, as the ingest worker does.
    """
    both = [_Contestant(present), _Contestant(candidate)]
    _say_estimate(material, both, progress)
    first, second = (_examine(material, one, progress, weigh=weigh) for one in both)
    exams = {
        name: paired(hits, second[name][0], products)
        for name, (hits, products) in first.items()
        if len(hits)
    }
    return Trial(
        products=len(np.unique(material.products)),
        pictures=len(material.shown),
        exams=exams,
        present_id=present.model_id,
        candidate_id=candidate.model_id,
        present_ms=both[0].ms,
        candidate_ms=both[1].ms,
    )


def _say_estimate(material: Material, both: Sequence[_Contestant], progress: Progress) -> None:
    count = len(material.shown) * (1 + len(VIEWS)) + len(material.photos)
    with progress.task("timing a few pictures"):
        for contestant in both:
            for at in range(min(TIMED, len(material.shown))):
                contestant.see(material.shown[at].picture.pixels())
    seconds = count * sum(one.ms for one in both) / 1000
    took = f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
    progress.note(f"{count:,} pictures and views, by two encoders: about {took}")


def _examine(
    material: Material, contestant: _Contestant, progress: Progress, *, weigh: bool
) -> dict[str, tuple[Mask, Numbers]]:
    """Of each exam, whether its queries were answered rightly, and whose they are, (k,) each."""
    encoder = contestant.encoder
    name = encoder.model_id
    for one in progress.track(material.shown, f"{name}: catalog", len(material.shown)):
        contestant.add(one.picture.pixels(), one.product)
    asked = [(at, number) for number in VIEWS for at in range(len(material.shown))]
    views = [
        contestant.see(material.view(at, number))
        for at, number in progress.track(asked, f"{name}: views", len(asked))
    ]
    photos = [
        contestant.see(pixels)
        for _, pixels in progress.track(material.photos, f"{name}: photos", len(material.photos))
    ]
    items, products, kinds = np.stack(contestant.items), material.products, material.categories
    shown = np.array([at for at, _ in asked], np.intp)
    weights = encoder.part_weights(items)
    if weigh and encoder.has_parts:
        seen = np.stack([one.vector for one in views])
        weights = weigh_parts(Witnesses(items, products, kinds, seen, shown), weights).weights
    search = _Search(encoder, items, weights)
    several = np.flatnonzero(np.bincount(products)[products] > 1)
    other = search.nearest([contestant.alone[at] for at in several], barred=several[:, None])
    known = np.flatnonzero(kinds >= 0)
    known = known if len(np.unique(kinds[known])) > 1 else known[:0]
    kin = search.nearest(
        [contestant.alone[at] for at in known],
        barred=[np.flatnonzero(products == products[at]) for at in known],
    )
    found = search.nearest(photos, [photo.text for photo, _ in material.photos])
    return {
        BY_PHOTOS: _photo_answers(material, found),
        BY_PICTURES: (products[other] == products[several], products[several]),
        BY_VIEWS: (products[search.nearest(views)] == products[shown], products[shown]),
        OF_KINDS: (kinds[kin] == kinds[known], products[known]),
    }


def _photo_answers(material: Material, found: Numbers) -> tuple[Mask, Numbers]:
    """Whether photos found what they show; those of one product, or category, are one group."""
    hits: list[bool] = []
    groups: dict[object, int] = {}
    for (photo, _), at in zip(material.photos, found, strict=True):
        product = material.shown[at].product
        hits.append(
            product.product_id == photo.product_id
            if photo.product_id
            else product.category == photo.category
        )
        groups.setdefault(photo.product_id or photo.category, len(groups))
    numbers = [groups[photo.product_id or photo.category] for photo, _ in material.photos]
    return np.array(hits, bool), np.array(numbers, np.intp)


@dataclass(frozen=True)
class _Search:
    """Exact search among items, (n, dim)."""

    encoder: CatalogEncoder
    items: Floats
    weights: PartWeights

    def nearest(
        self,
        pictures: Sequence[Encoded],
        texts: Sequence[str | None] | None = None,
        barred: Sequence[Numbers] | Numbers | None = None,
    ) -> Numbers:
        """The item that each picture finds first, (k,); it cannot find those that are barred."""
        words = texts or [None] * len(pictures)
        found = np.zeros(len(pictures), np.intp)
        for start in range(0, len(pictures), ASK_TOGETHER):
            some = slice(start, start + ASK_TOGETHER)
            queries = self.encoder.encode_queries(pictures[some], words[some], self.weights)
            scores = np.stack([one.vector for one in queries]) @ self.items.T
            if barred is not None:
                for row, hidden in zip(scores, barred[some], strict=True):
                    row[hidden] = -np.inf
            found[some] = scores.argmax(axis=1)
        return found
