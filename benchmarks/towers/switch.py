"""Another encoder takes over a running shop: queries and events go on, and nothing is mixed."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from models.catalog.folder import read_catalog
from stream.child_process import python_module, spawn, stop
from stream.codec import encode
from stream.messages import ProductUpsert, Query, Result
from stream.publisher import Publisher, wait_committed
from stream.request_reply import Client
from workers.catalog_index import open_catalog
from workers.config.settings import Settings, settings_environment
from workers.config.wiring import kafka_of, topics_of
from workers.deploy.ephemeral import ephemeral_settings
from workers.deploy.supervisor import Stack, tail
from workers.jobs.evaluate import ingest_catalog
from workers.jobs.produce import picture_reference
from workers.progress.tasks import Progress

ASK_EVERY_S, CHANGE_EVERY_S = 0.25, 0.5
ANSWER_TIMEOUT_S, COMMIT_TIMEOUT_S = 60.0, 120.0
AFTER_S = 3.0
"""How long queries go on after the switch."""


@dataclass
class _Traffic:
    """Queries at a constant rate, and new titles for one product after another."""

    settings: Settings
    folder: Path
    client: Client
    publisher: Publisher
    answers: list[Future[Result]] = field(default_factory=list)
    titles: dict[str, str] = field(default_factory=dict)
    answered: list[int] = field(default_factory=list)
    """Numbers of queries, in the order of their answers."""
    longest_s: float = 0.0
    _asked: float = 0.0
    _changed: float = 0.0

    def __post_init__(self) -> None:
        self._products = list(read_catalog(self.folder).products)

    def go_on(self) -> None:
        """Ask, and change a title, if it is time."""
        now = time.monotonic()
        if now - self._asked >= ASK_EVERY_S:
            number = len(self.answers)
            product = self._products[number % len(self._products)]
            image = picture_reference(self.folder, product.image or "") if number % 2 else None
            text = None if image else product.title
            query = Query(query_id=f"switch-{number}", text=text, image=image)
            answer = self.client.submit(query)
            answer.add_done_callback(partial(self._note, number, now))
            self.answers.append(answer)
            self._asked = now
        if now - self._changed >= CHANGE_EVERY_S:
            product = self._products[len(self.titles) % len(self._products)]
            title = f"{product.title} edition {len(self.titles)}"
            self.titles[product.product_id] = title
            event = ProductUpsert(
                product_id=product.product_id,
                title=title,
                category=product.category,
                image=picture_reference(self.folder, product.image or ""),
                event_time=time.time_ns() // 1_000_000,
            )
            topic = topics_of(self.settings).catalog.name
            self.publisher.publish(topic, product.product_id, encode(event))
            self._changed = now

    def _note(self, number: int, asked: float, _answer: Future[Result]) -> None:
        self.answered.append(number)
        self.longest_s = max(self.longest_s, time.monotonic() - asked)

    def results(self) -> list[Result | None]:
        """The results in the order in which they came, then None for each that did not come."""
        found = [_result(one) for one in self.answers]
        came = list(dict.fromkeys(self.answered))
        return [*(found[number] for number in came), *([None] * (len(found) - len(came)))]


def switch_encoder(
    settings: Settings, folder: Path, before: str, after: str, bars: Progress
) -> dict[str, Any]:
    """Run a shop with one encoder, and have `lookstream reindex --backbone` give it another.

    Args:
        settings: of whatever deployment; the shop is one of its own.
        folder: its catalog.
        before, after: the encoders.
        bars: shows what is done.

    Returns:
        switch_queries: asked meanwhile; switch_failed: those without a list.
        switch_mixed: lists of a generation that another model answered too, and lists of the old
        model after one of the new.
        switch_lost: changed titles that are not in the new index.
        switch_by_new: answered by the new one.
        switch_seconds, switch_longest_s: of the command, and of the longest answer.
    """
    models = settings.models.model_copy(update={"backbone": before})
    changed = settings.model_copy(update={"models": models})
    with ephemeral_settings(changed, "switch") as own:
        starting = bars.task("starting")
        with Stack(own, workers=("ingest", "query"), report=starting.rename) as stack:
            stack.wait_ready()
            starting.finish()
            ingest_catalog(folder, own, bars, len(read_catalog(folder).products))
            return _switch(own, stack, folder, after, bars)


def _switch(
    settings: Settings, stack: Stack, folder: Path, after: str, bars: Progress
) -> dict[str, Any]:
    kafka, topics = kafka_of(settings), topics_of(settings)
    log = settings.log_dir / "reindex.log"
    began = time.monotonic()
    reindexing = spawn(
        python_module("workers.cli", "reindex", "--backbone", after, "--yes", "--json"),
        log_path=log,
        env=settings_environment(settings),
    )
    try:
        with (
            Client(kafka, topics, ANSWER_TIMEOUT_S) as client,
            Publisher(kafka, linger_ms=0) as publisher,
            bars.task(f"switching to {Path(after).name}") as task,
        ):
            traffic = _Traffic(settings, folder, client, publisher)

            def go_on() -> None:
                stack.check()
                traffic.go_on()
                task(len(traffic.answers))
                time.sleep(0.01)

            while reindexing.poll() is None:
                go_on()
            seconds = time.monotonic() - began
            if reindexing.returncode:
                raise SystemExit(f"lookstream reindex failed:\n{tail(log)}")
            until = time.monotonic() + AFTER_S
            while time.monotonic() < until:
                go_on()
            ends = publisher.flush()[topics.catalog.name]
            results = traffic.results()
        _wait_for_ingest(settings, stack, ends)
    finally:
        stop(reindexing)
    report = orjson.loads(log.read_bytes().splitlines()[-1])
    return {
        "switch_queries": len(results),
        "switch_failed": sum(one is None or one.error is not None for one in results),
        "switch_mixed": mixed([one for one in results if one is not None], report["model_id"]),
        "switch_lost": _lost(settings, traffic.titles, report["model_id"]),
        "switch_by_new": sum(one.model_id == report["model_id"] for one in results if one),
        "switch_seconds": round(seconds, 1),
        "switch_longest_s": round(traffic.longest_s, 2),
    }


def mixed(results: Sequence[Result], new: str) -> int:
    """Results, in the order in which they came, that do not go with the others.

    Args:
        results: with lists.
        new: the model id that takes over.
    """
    models: dict[str, set[str]] = defaultdict(set)
    for one in results:
        if one.generation:
            models[one.generation].add(one.model_id or "")
    shared = {generation for generation, known in models.items() if len(known) > 1}
    first = next((at for at, one in enumerate(results) if one.model_id == new), len(results))
    late = sum(one.model_id != new for one in results[first:])
    return late + sum(one.generation in shared for one in results)


def _result(answer: Future[Result]) -> Result | None:
    try:
        return answer.result(ANSWER_TIMEOUT_S)
    except Exception:  # no answer in time, or none that can be read
        return None


def _wait_for_ingest(settings: Settings, stack: Stack, ends: dict[int, int]) -> None:
    """Until all that was sent is in the index; the supervisor goes on meanwhile."""

    def check(_left: int) -> None:
        stack.check()

    wait_committed(
        kafka_of(settings),
        settings.group("ingest"),
        topics_of(settings).catalog.name,
        ends,
        timeout_s=COMMIT_TIMEOUT_S,
        on_progress=check,
    )


def _lost(settings: Settings, titles: dict[str, str], model_id: str) -> int:
    """Changed titles that the live index lacks; all of them if it is of another model."""
    with open_catalog(settings)[0] as collection:
        if collection.bank.model_id != model_id:
            return len(titles)
        there = {
            item.product_id: item.payload["title"]
            for item in collection.get(list(titles), vectors=False)
        }
    return sum(there.get(product) != title for product, title in titles.items())
