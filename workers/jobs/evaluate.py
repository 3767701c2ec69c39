"""Hit rates of search on a catalog folder: offline, or with every event over real topics.

Both use the same encoder, ranking and metrics; offline has exact search in memory in place of Kafka
and the index. So the difference between the two is what the stream costs in quality.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from index.item import Hit, Item
from models.catalog.folder import Catalog, Photo
from models.embedding.adapt import Exam
from models.embedding.protocol import CatalogEncoder, Encoded
from models.errors import AdaptationError, CatalogError
from models.evaluation.metrics import best_possible, score_rankings
from models.images.letterbox import Picture
from stream.messages import ProductUpsert, Query, Result
from stream.publisher import Publisher, wait_committed
from stream.request_reply import Client
from workers.catalog_index import CatalogIndex
from workers.config.load_models import encoder_of, reranker_note, reranker_of
from workers.config.settings import Settings
from workers.config.wiring import kafka_of, topics_of
from workers.deploy.supervisor import Stack
from workers.errors import QueryFailed
from workers.evidence.adapt import adapt_to_views
from workers.evidence.fitted import FittedWeights
from workers.evidence.sample import PictureSample
from workers.evidence.weigh import weigh, weighing_of
from workers.ingest.items import (
    FetchedPicture,
    encode_products,
    fetched_product,
    picture_digest,
    picture_digests,
    picture_references,
)
from workers.intake.fetch import Fetcher, open_fetcher
from workers.jobs.adapt import check_adaptable
from workers.jobs.catalog_source import folder_source
from workers.jobs.folder_pictures import folder_pictures
from workers.jobs.produce import picture_reference, produce_catalog
from workers.jobs.query_photos import QueryPhotos, query_photos
from workers.progress.tasks import Progress
from workers.query.candidate_pictures import CandidatePictures
from workers.query.picture_reranker import RerankersOf
from workers.query.rerank import best_of_products, rank

ENCODE_TOGETHER = 16
TOP = 10
WEIGHING, ADAPTING = "weighing the parts", "encoding views"
# A query waits behind those in flight before it, on a machine that may be slow.
ANSWER_TIMEOUT_S = 120.0
INGEST_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Evaluation:
    """Hit rates (0..1, Pailitao-VL §6) of the reranked lists and of retrieval alone."""

    products: int
    queries: int
    reranked: dict[str, float]
    retrieval: dict[str, float]
    best_possible: dict[str, float]
    model_id: str
    seconds: float
    notes: tuple[str, ...] = ()
    """What to know of the figures: where queries or scores are not what they usually are."""
    adapted: AdaptedRates | None = None
    """What `lookstream adapt` would give; None where it was not asked."""

    def report(self) -> dict[str, object]:
        """The figures under their JSON keys."""
        return {
            "products": self.products,
            "queries": self.queries,
            **self.reranked,
            **{f"retrieval_{key}": value for key, value in self.retrieval.items()},
            **(self.adapted.report() if self.adapted else {}),
            "model_id": self.model_id,
            "seconds": round(self.seconds, 1),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class AdaptedRates:
    """Hit rates by the weights that adapting leaves in place, and the exam that decided.

    There is no exam where there are too few products.
    """

    promoted: bool
    exam: Exam | None
    reranked: dict[str, float]
    retrieval: dict[str, float]

    def report(self) -> dict[str, object]:
        """The figures under their JSON keys."""
        return {
            "adapted": self.promoted,
            "exam": asdict(self.exam) if self.exam else None,
            **{f"adapted_{key}": value for key, value in self.reranked.items()},
            **{f"adapted_retrieval_{key}": value for key, value in self.retrieval.items()},
        }


@dataclass(frozen=True)
class RankedLists:
    """Product ids for one query, as retrieved and as reranked."""

    retrieved: tuple[str, ...]
    reranked: tuple[str, ...]


def score_lists(
    catalog: Catalog,
    photos: Sequence[Photo],
    lists: Sequence[RankedLists],
    model_id: str,
    seconds: float,
    notes: Sequence[str | None] = (),
) -> Evaluation:
    """The hit rates of the lists, one per photo; `notes` that are empty are left out."""
    return Evaluation(
        products=len(catalog.products),
        queries=len(photos),
        reranked=score_rankings(photos, catalog.products, [one.reranked for one in lists]),
        retrieval=score_rankings(photos, catalog.products, [one.retrieved for one in lists]),
        best_possible=best_possible(photos, catalog.products),
        model_id=model_id,
        seconds=seconds,
        notes=tuple(filter(None, notes)),
    )


async def evaluate_offline(
    folder: Path, split: str, settings: Settings, progress: Progress, *, adapt: bool = False
) -> Evaluation:
    """Exact search in memory over the whole catalog; with `adapt` also as that would make it."""
    with query_photos(folder, split) as queried:
        return await _evaluate_offline(queried, settings, progress, adapt)


async def _evaluate_offline(
    queried: QueryPhotos, settings: Settings, progress: Progress, adapt: bool
) -> Evaluation:
    start = time.monotonic()
    catalog, photos = queried.catalog, queried.photos
    encoder = encoder_of(settings)
    if adapt:
        check_adaptable(encoder)
    reranker = reranker_of(settings, encoder)
    folders = (catalog.folder, *([queried.views] if queried.views else []))
    roots = (*settings.intake.roots, *folders)
    intake = settings.intake.model_copy(update={"roots": roots})
    sample = PictureSample(None, encoder.model_id) if settings.ingest.weigh_parts else None
    async with open_fetcher(intake) as fetcher:
        pictures = CandidatePictures(fetcher, settings.query.picture_cache_mb * 1_000_000)
        rerankers = RerankersOf(reranker, pictures)
        truncated: list[str] = []
        items = await _encode_catalog(catalog, encoder, fetcher, sample, progress, truncated)
        matrix = np.stack([item.vector for item in items if item.vector is not None])
        fitted = None
        if sample:
            with progress.task(WEIGHING) as task:
                fitted = weigh(sample, _InMemory(items), encoder, len(items), progress=task)
        prior = encoder.part_weights(matrix)
        trials = [replace(fitted.weights, words=prior.words) if fitted else prior]
        exam, not_adapted = None, ""
        if adapt:
            try:
                sampled = await folder_pictures(catalog, items, fetcher, progress)
                with progress.task(ADAPTING) as task:
                    mapped, exam = adapt_to_views(sampled, encoder, trials[0], progress=task)
                trials += [mapped] if exam.passed else []
            except AdaptationError as error:
                not_adapted = f"not adapted: {error}"
        lists: list[list[RankedLists]] = [[] for _ in trials]
        for photo in progress.track(photos, "querying", len(photos)):
            decoded = await fetcher.decode(await fetcher.fetch(catalog.locate(photo.image)))
            truncated += [photo.image] * decoded.truncated
            shown: Picture | Encoded = decoded.picture
            if len(trials) > 1:  # the network sees it once
                (shown,) = encoder.encode_items([decoded.picture], [None])
            for weights, ranked in zip(trials, lists, strict=True):
                (query,) = encoder.encode_queries([shown], [photo.text], weights)
                similarities = matrix @ query.vector
                near = best_of_products(
                    [Hit(*pair) for pair in zip(items, similarities.tolist(), strict=True)]
                )[: settings.query.candidates]
                # In a thread: a reranker that looks at pictures has them fetched meanwhile.
                looks = rerankers(decoded.picture)
                best = await asyncio.to_thread(rank, query, photo.text, near, looks)
                ranked.append(
                    RankedLists(
                        tuple(hit.item.product_id for hit in near[:TOP]),
                        tuple(one.hit.item.product_id for one in best[:TOP]),
                    )
                )
    took = time.monotonic() - start
    notes = (
        queried.note,
        reranker.note,
        rerankers.not_reranked,
        _note(truncated),
        _weights_note(fitted),
        not_adapted,
    )
    found = [score_lists(catalog, photos, one, encoder.model_id, took, notes) for one in lists]
    plain, last = found[0], found[-1]
    rates = AdaptedRates(last is not plain, exam, last.reranked, last.retrieval)
    return replace(plain, adapted=rates) if adapt else plain


def _note(truncated: list[str]) -> str:
    if not truncated:
        return ""
    return f"{len(truncated)} JPEG pictures lack their last bytes, {truncated[0]} among them"


class _InMemory:
    """Items as an index has them."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._products: dict[str, list[Item]] = {}
        for item in items:
            self._products.setdefault(item.product_id, []).append(item)

    def stored(self, product_ids: Sequence[str]) -> list[Item]:
        """All items of these products."""
        return [item for one in product_ids for item in self._products.get(one, ())]


async def _encode_catalog(
    catalog: Catalog,
    encoder: CatalogEncoder,
    fetcher: Fetcher,
    sample: PictureSample | None,
    progress: Progress,
    truncated: list[str],
) -> list[Item]:
    """The items of all products; `truncated` gets the references of such pictures."""
    items: list[Item] = []
    for product in progress.track(catalog.products, "encoding the catalog", len(catalog.products)):
        event = ProductUpsert(
            product_id=product.product_id,
            title=product.title,
            description=product.description,
            category=product.category,
            image=catalog.locate(product.image) if product.image else None,
            images=tuple(map(catalog.locate, product.images)),
        )
        pictures = []
        for reference in picture_references(event):
            data = await fetcher.fetch(reference)
            decoded = await fetcher.decode(data)
            truncated += [reference] * decoded.truncated
            digest = picture_digest(data, encoder.model_id)
            pictures.append(FetchedPicture(digest, decoded.picture))
        fetched = fetched_product(event, pictures, encoder.model_id)
        (encoded,) = encode_products([fetched], encoder)
        items += encoded
        if sample:
            product_id = product.product_id
            thumbnails = sample.thumbnails(product_id, fetched.pictures)
            sample.update({product_id: picture_digests(encoded)}, {product_id: thumbnails})
    return items


def evaluate_through_kafka(
    folder: Path, split: str, settings: Settings, progress: Progress
) -> Evaluation:
    """Every product over the catalog topic and every photo over the query topic.

    `settings` are those of an ephemeral deployment (`workers.deploy.ephemeral`).

    Raises:
        StreamError: a result did not come, or came with an error.
    """
    start = time.monotonic()
    with query_photos(folder, split) as queried:
        catalog, photos = queried.catalog, queried.photos
        starting = progress.task("starting")
        with Stack(settings, workers=("ingest", "query"), report=starting.rename) as stack:
            stack.wait_ready()
            starting.finish()
            ingest_catalog(folder, settings, progress, len(catalog.products))
            fitted = weigh_catalog(settings, progress)
            results = list(search_all(catalog, photos, settings, progress))
    lists = [
        RankedLists(result.retrieved, tuple(item.product_id for item in result.items))
        for result in results
    ]
    model_id, took = results[0].model_id, time.monotonic() - start
    notes = (queried.note, reranker_note(settings, model_id), _weights_note(fitted))
    return score_lists(catalog, photos, lists, model_id, took, notes)


def ingest_catalog(folder: Path, settings: Settings, progress: Progress, total: int) -> int:
    """Send the catalog and return, with the number of events, when all of it is searchable."""
    kafka, topic = kafka_of(settings), topics_of(settings).catalog.name
    source = folder_source(folder)
    with progress.task("sending the catalog", total) as sending, Publisher(kafka) as publisher:
        report = produce_catalog(
            source, publisher, topic, settings=settings.ingest, on_sent=sending
        )
        if report.refusals:
            first = report.refusals[0]
            raise CatalogError(f"{source.file}:{first.line}: {first.reason}")
        sent = report.sent
        ends = publisher.flush()[topic]
    with progress.task("ingesting", sent) as ingesting:
        wait_committed(
            kafka,
            settings.group("ingest"),
            topic,
            ends,
            timeout_s=INGEST_TIMEOUT_S,
            on_progress=lambda left: ingesting(sent - left),
        )
    return sent


def weigh_catalog(settings: Settings, progress: Progress) -> FittedWeights | None:
    """Let the catalog that is searchable now say how much its parts count; None if it cannot.

    The ingest worker does so too, in its own time, and figures would depend on when.
    """
    encoder = encoder_of(settings)
    with closing(CatalogIndex(settings, encoder.model_id)) as index:
        weighing = weighing_of(settings, index, encoder)
        if weighing is None:
            return None
        with closing(weighing.sample), progress.task(WEIGHING) as task:
            return weighing.now(task)


def _weights_note(fitted: FittedWeights | None) -> str:
    return f"parts: {fitted.summary}" if fitted else ""


def search_all(
    catalog: Catalog, photos: Sequence[Photo], settings: Settings, progress: Progress
) -> Iterator[Result]:
    """The result for each photo, in order; several are in flight at a time."""
    queries = (
        Query(
            query_id=f"q{number}",
            image=picture_reference(catalog.folder, photo.image),
            text=photo.text,
            top=TOP,
        )
        for number, photo in enumerate(photos)
    )
    with Client(kafka_of(settings), topics_of(settings), ANSWER_TIMEOUT_S) as client:
        answers = client.results(queries, window=8)
        for query, result in progress.track(answers, "querying", len(photos)):
            if not isinstance(result, Result):
                raise result
            if result.error:
                raise QueryFailed(f"{query.query_id} got no list: {result.error}")
            yield result
