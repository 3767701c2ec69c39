"""The demo: a catalog goes in over Kafka, photos find it, clicks are attributed; then a report."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from models.catalog.folder import Catalog, Photo, read_catalog
from models.errors import CatalogError
from models.evaluation.metrics import best_possible, relevance, score_rankings
from stream.codec import encode
from stream.dead_letter import read_dead_letters
from stream.messages import Click, Query, Result
from stream.publisher import Publisher
from stream.records import read_topic
from stream.request_reply import Client
from workers.config.settings import Settings
from workers.config.wiring import kafka_of, topics_of
from workers.deploy.supervisor import Stack
from workers.errors import QueryFailed
from workers.jobs.evaluate import ANSWER_TIMEOUT_S, TOP, ingest_catalog, weigh_catalog
from workers.jobs.produce import picture_reference
from workers.progress.tasks import Progress
from workers.reports.contact_sheet import Answer, Row, write_contact_sheet

SHOWN = 5
# How long the join of the last clicks may take.
CLICKS_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class DemoReport:
    """The figures of one demo; hit rates are None where the photos have no labels."""

    products: int
    queries: int
    i_hr_1: float | None
    i_hr_5: float | None
    c_hr_1: float | None
    retrieval_i_hr_1: float | None
    events_in: int
    applied: int
    dead_lettered: int
    ingest_per_s: float
    query_p50_ms: float
    query_p95_ms: float
    attributed_clicks: int
    best_possible: dict[str, float]
    """The hit rates of perfect rankings; empty where the photos have no labels."""

    def facts(self) -> list[tuple[str, str]]:
        """The figures to print: (name, value)."""

        def rate(value: float | None, key: str) -> str:
            if value is None:
                return "–"
            most = self.best_possible[key]
            return f"{100 * value:.1f} %" + (f" of {100 * most:.1f} %" if most < 1 else "")

        return [
            ("products", str(self.products)),
            ("queries", str(self.queries)),
            ("I-HR@1", rate(self.i_hr_1, "i_hr_1")),
            ("I-HR@5", rate(self.i_hr_5, "i_hr_5")),
            ("C-HR@1", rate(self.c_hr_1, "c_hr_1")),
            ("I-HR@1 before reranking", rate(self.retrieval_i_hr_1, "i_hr_1")),
            ("events in", str(self.events_in)),
            ("applied", str(self.applied)),
            ("dead-lettered", str(self.dead_lettered)),
            ("ingest", f"{self.ingest_per_s:.1f} events/s"),
            ("query p50", f"{self.query_p50_ms:.0f} ms"),
            ("query p95", f"{self.query_p95_ms:.0f} ms"),
            ("attributed clicks", str(self.attributed_clicks)),
        ]

    def json(self) -> dict[str, object]:
        """The figures under their JSON keys."""
        figures = asdict(self)
        del figures["best_possible"]
        return figures


def run_demo(
    folder: Path, settings: Settings, page: Path, progress: Progress, max_queries: int
) -> DemoReport:
    """Run it on any catalog folder and write the contact sheet to `page`.

    `settings` are those of an ephemeral deployment (`workers.deploy.ephemeral`).
    """
    catalog = read_catalog(folder)
    intake = settings.intake.model_copy(
        update={"roots": (*settings.intake.roots, folder.resolve())}
    )
    settings = settings.model_copy(update={"intake": intake})
    photos = choose_photos(catalog, max_queries)
    kafka, topics = kafka_of(settings), topics_of(settings)
    starting = progress.task("starting")
    with Stack(settings, report=starting.rename) as stack:
        stack.wait_ready()
        starting.finish()
        start = time.monotonic()
        events_in = ingest_catalog(folder, settings, progress, len(catalog.products))
        ingest_s = time.monotonic() - start
        weigh_catalog(settings, progress)
        answered = list(progress.track(_search(catalog, photos, settings), "querying", len(photos)))
        results = [result for result, _ in answered]
        clicked = _click(catalog, photos, results, settings)
        attributed = _wait_for_clicks(clicked, settings, progress)
        applied = ingest_count(settings, "lookstream_events_total", state="applied")
        dead_lettered = sum(1 for _ in read_dead_letters(kafka, topics))
    rates, retrieval, possible = _rates(catalog, photos, results)
    latencies = [seconds * 1000 for _, seconds in answered]
    report = DemoReport(
        products=len(catalog.products),
        queries=len(photos),
        i_hr_1=rates.get("i_hr_1"),
        i_hr_5=rates.get("i_hr_5"),
        c_hr_1=rates.get("c_hr_1"),
        retrieval_i_hr_1=retrieval.get("i_hr_1"),
        events_in=events_in,
        applied=applied,
        dead_lettered=dead_lettered,
        ingest_per_s=round(events_in / ingest_s, 1),
        query_p50_ms=round(statistics.median(latencies), 1),
        query_p95_ms=round(float(np.quantile(latencies, 0.95)), 1),
        attributed_clicks=attributed,
        best_possible=possible,
    )
    rows = list(progress.track(_rows(catalog, photos, results), "drawing", len(photos)))
    write_contact_sheet(page, f"Lookstream on {folder.name}", report.facts(), rows)
    return report


def choose_photos(catalog: Catalog, most: int) -> tuple[Photo, ...]:
    """The photos to search with: the test split if there is one, else all; spread over the file.

    In a catalog without photos its product pictures are used; they have no labels for hit rates.

    Raises:
        CatalogError: there are no products, or no pictures at all.
    """
    if not catalog.products:
        raise CatalogError(f"{catalog.folder} has no products.jsonl: there is nothing to search in")
    photos = [photo for photo in catalog.photos if photo.split == "test"] or list(catalog.photos)
    if not photos:
        photos = [Photo(image=one.image) for one in catalog.products if one.image]
    if not photos:
        raise CatalogError(f"{catalog.folder} has no pictures to search with")
    step = max(1, len(photos) / most)
    return tuple(photos[int(n * step)] for n in range(min(most, len(photos))))


def ingest_count(settings: Settings, name: str, **labels: str) -> int:
    """A counter among the ingest worker's metrics: the sum of all that have these labels."""
    address = f"http://127.0.0.1:{settings.ingest.metrics_port}/metrics"
    text = httpx.get(address, timeout=10, trust_env=False).text
    return round(
        sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )
    )


def _search(
    catalog: Catalog, photos: Sequence[Photo], settings: Settings
) -> Iterator[tuple[Result, float]]:
    """One photo after the other: its result, and how many seconds it took."""
    with Client(kafka_of(settings), topics_of(settings), ANSWER_TIMEOUT_S) as client:
        for number, photo in enumerate(photos):
            image = picture_reference(catalog.folder, photo.image)
            query = Query(query_id=f"q{number}", image=image, text=photo.text, top=TOP)
            start = time.perf_counter()
            result = client.search(query)
            if result.error:
                raise QueryFailed(f"{photo.image} got no list: {result.error}")
            yield result, time.perf_counter() - start


def _click(
    catalog: Catalog, photos: Sequence[Photo], results: Sequence[Result], settings: Settings
) -> int:
    """Clicks the right product if it is among the first five, else sometimes the first one."""
    chance = random.Random(0)
    topic = topics_of(settings).click.name
    clicks = 0
    with Publisher(kafka_of(settings)) as publisher:
        for photo, result in zip(photos, results, strict=True):
            shown = [item.product_id for item in result.items[:SHOWN]]
            wanted = photo.product_id if photo.product_id in shown else None
            if wanted is None and shown and chance.random() < 0.25:
                wanted = shown[0]
            if wanted is not None:
                clicks += 1
                click = Click(
                    click_id=f"c{clicks}",
                    query_id=result.query_id,
                    product_id=wanted,
                    event_time=time.time_ns() // 1_000_000,
                )
                publisher.publish(topic, click.query_id, encode(click))
    return clicks


def _wait_for_clicks(expected: int, settings: Settings, progress: Progress) -> int:
    """How many clicks have been attributed: all, or those there after half a minute."""
    deadline = time.monotonic() + CLICKS_TIMEOUT_S
    topic = topics_of(settings).attributed_click.name
    with progress.task("attributing clicks", expected) as task:
        while True:
            found = len({record.key for record in read_topic(kafka_of(settings), topic)})
            task(found)
            if found >= expected or time.monotonic() > deadline:
                return found
            time.sleep(0.5)


def _rates(
    catalog: Catalog, photos: Sequence[Photo], results: Sequence[Result]
) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Hit rates reranked, retrieved and possible; empty when no photo has a label."""
    if not any(photo.product_id or photo.category for photo in photos):
        return {}, {}, {}
    reranked = [[item.product_id for item in result.items] for result in results]
    retrieved = [result.retrieved for result in results]
    return (
        score_rankings(photos, catalog.products, reranked),
        score_rankings(photos, catalog.products, retrieved),
        best_possible(photos, catalog.products),
    )


def _rows(catalog: Catalog, photos: Sequence[Photo], results: Sequence[Result]) -> Iterator[Row]:
    """The rows of the contact sheet."""
    levels = relevance(photos, catalog.products)
    column = {product.product_id: at for at, product in enumerate(catalog.products)}
    for number, (photo, result) in enumerate(zip(photos, results, strict=True)):
        answers = []
        for item in result.items[:SHOWN]:
            product = catalog.by_id[item.product_id]
            known = photo.product_id or photo.category
            answers.append(
                Answer(
                    title=item.title or item.product_id,
                    picture=_local(catalog, product.image),
                    score=item.score,
                    level=int(levels[number, column[item.product_id]]) if known else None,
                )
            )
        truth = catalog.by_id.get(photo.product_id or "")
        label = truth.title if truth else " / ".join(photo.category) or Path(photo.image).name
        picture = _local(catalog, photo.image)
        yield Row(picture=picture, truth=label, juice=result.juice, answers=tuple(answers))


def _local(catalog: Catalog, reference: str | None) -> Path | None:
    """A picture in the catalog folder; None for others, the page loads nothing from elsewhere."""
    return None if reference is None else catalog.local_path(reference)
