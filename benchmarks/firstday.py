"""A shop's first day: a messy export and a hostile picture host, beside a clean twin.

    lookstream bench firstday [--products 2000] [--queries 200] [--broker kafka] [--seed 0]

The whole stack as `lookstream up` runs it, with the real models. `lookstream produce` sends the
export (`benchmarks.shop.export`) while text queries are asked at a constant rate; pictures come
from a host that is slow, answers 429 with Retry-After when it is asked too often, and has lost one
picture in fifty (`benchmarks.shop.picture_hosts`). In the end every row is accounted for. On night
two the export is sent again; in between one product in ten has another price, one in a hundred
another title, and one in a hundred another picture. The clean twin has the same products in strict
rows, a host that answers at once, and a stack of its own. The last line is one JSON object:

    products             how many there were
    products_searchable  in the index with the words, price and stock that were sent
    lost_silently        not so, and nothing says so, on either night
    partial              searchable, without a picture that a dead letter names
    refused              rows that were not applied; refused_without_reason: without a sentence
    wrongly_refused      good rows that were; wrongly_accepted: wrong ones that were not
    night_two_downloads  pictures that were sent again, though they had not changed
    night_two_encodings  items that were encoded again, though what they show had not changed
    queries, unanswered  while the export of night one was ingested
    p50_ms, p95_ms       of these, from the moment when each was to be asked; for the clean twin
                         clean_p50_ms and so on
    throttled            requests that the host answered with 429
    lost_pictures        how many pictures the host did not have
    seconds              for ingesting on night one; seconds_night_two: on night two
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from benchmarks.shop.account import Account, account
from benchmarks.shop.broker import BROKERS, settings_for
from benchmarks.shop.export import (
    Product,
    Row,
    clean_export,
    make_products,
    messy_export,
    next_night,
    photographed_again,
    renamed,
    write_export,
)
from benchmarks.shop.picture_hosts import NEW_YEAR, HostilePictures, ShopPictures, draw
from benchmarks.shop.progress import Progress
from benchmarks.shop.questions import Questions
from stream.child_process import python_module, spawn, stop
from stream.dead_letter import DeadLetter, read_dead_letters
from stream.request_reply import Client
from tests.servers import ServerMissing
from tests.servers.picture_host import serving
from workers.catalog_index import open_catalog
from workers.config.settings import Settings, settings_environment
from workers.config.wiring import kafka_of, topics_of
from workers.deploy.ephemeral import ephemeral_settings
from workers.deploy.supervisor import Stack, tail
from workers.jobs.demo import ingest_count
from workers.progress.open import open_progress
from workers.progress.tasks import Progress as Bars

MOST_PRODUCTS = 7_000
"""Of more, `produce --json` would not name all wrong rows."""
ASK_EVERY_S = 0.4
ANSWER_TIMEOUT_S = 60.0
REFRESH_EVERY_S = 0.5
SHOWN = 5
TOO_MANY = 429
DAY_S = 24 * 3600
VIEW_OF_NIGHT_TWO = 9


@dataclass
class Shop:
    """A running stack and the host of its pictures; exports are sent to it."""

    settings: Settings
    stack: Stack
    host: ShopPictures
    bars: Bars
    letters: set[tuple[int, int]] = field(default_factory=set)
    """Where the dead letters lie that were accounted for."""

    def send(self, name: str, rows: Sequence[Row], questions: Questions | None = None) -> Account:
        """Send an export with `lookstream produce`, asking meanwhile, and account for it."""
        folder = write_export(
            self.settings.data_dir / name.replace(" ", "-"), rows, byte_order_mark=True
        )
        report = self._produce(name, folder, len(rows), questions)
        with self.bars.task(f"accounting for {name}"):
            found = account(rows, self.host.url, report, self._new_letters(), self._index())
        for example in found.examples:
            print(f"  WRONG {name}: {example}", file=sys.stderr, flush=True)
        return found

    def _produce(
        self, name: str, folder: Path, total: int, questions: Questions | None
    ) -> dict[str, Any]:
        """The report of the command."""
        log = self.settings.log_dir / f"{folder.name}.log"
        producing = spawn(
            python_module("workers.cli", "produce", str(folder), "--json"),
            log_path=log,
            env=settings_environment(self.settings),
        )
        catalog = topics_of(self.settings).catalog
        group = self.settings.group("ingest")
        try:
            with (
                Progress(kafka_of(self.settings), group, catalog) as progress,
                self.bars.task(f"ingesting {name}", total) as task,
            ):
                progress.refresh()
                before, refreshed = progress.committed, time.monotonic()
                while producing.poll() is None:
                    if questions:
                        questions.ask()
                    if time.monotonic() - refreshed > REFRESH_EVERY_S:
                        self.stack.check()
                        progress.refresh()
                        task(min(total, progress.committed - before))
                        refreshed = time.monotonic()
                    time.sleep(0.01)
                progress.refresh()
                task(min(total, progress.committed - before))
        finally:
            stop(producing)
        lines = log.read_bytes().splitlines()
        if not lines or not lines[-1].startswith(b"{"):
            raise SystemExit(f"lookstream produce failed:\n{tail(log)}")
        report: dict[str, Any] = orjson.loads(lines[-1])
        return report

    def _new_letters(self) -> list[DeadLetter]:
        kafka, topics = kafka_of(self.settings), topics_of(self.settings)
        letters = {(one.partition, one.offset): one for one in read_dead_letters(kafka, topics)}
        new = letters.keys() - self.letters
        self.letters |= new
        return [letters[place] for place in sorted(new)]

    def _index(self) -> Iterator[Any]:
        with open_catalog(self.settings)[0] as collection:
            for page in collection.scan():
                yield from page

    def encoded(self) -> int:
        """Items that were encoded so far."""
        return ingest_count(self.settings, "lookstream_encoded_total")


@contextmanager
def open_shop(settings: Settings, host: ShopPictures, bars: Bars) -> Iterator[Shop]:
    """A stack of its own beside a host that answers."""
    intake = {"allowed_networks": (*settings.intake.allowed_networks, "127.0.0.0/8")}
    changed = settings.model_dump()
    changed["intake"] |= intake
    with ExitStack() as inside:
        inside.enter_context(serving(host))
        own = inside.enter_context(ephemeral_settings(Settings.model_validate(changed), "firstday"))
        starting = bars.task("starting")
        stack = inside.enter_context(Stack(own, report=starting.rename))
        stack.wait_ready()
        starting.finish()
        yield Shop(own, stack, host, bars)


def first_night(shop: Shop, name: str, rows: Sequence[Row], texts: Sequence[str]) -> dict[str, Any]:
    """Send an export to an empty shop while questions are asked: the figures."""
    kafka, topics = kafka_of(shop.settings), topics_of(shop.settings)
    with Client(kafka, topics, ANSWER_TIMEOUT_S) as client:
        questions = Questions(client, texts, ASK_EVERY_S)
        began = time.monotonic()
        found = shop.send(name, rows, questions)
        seconds = time.monotonic() - began
        return {
            "account": found,
            **questions.figures(ANSWER_TIMEOUT_S),
            "seconds": round(seconds, 1),
        }


def second_night(
    shop: Shop, host: HostilePictures, products: Sequence[Product], seed: int
) -> dict[str, Any]:
    """Send the messy export again, with a few changes: what was done that need not be."""
    gone = set(host.lost)
    sold = [one for one in products if not one.is_wrong and not one.is_only_picture]
    changed = {
        one.pictures[0]: one
        for one in sold
        if photographed_again(one) and one.pictures[0] not in gone
    }
    for path, product in changed.items():
        host.has(path, draw(product, VIEW_OF_NIGHT_TWO), made=NEW_YEAR + DAY_S)
    downloads, encoded = host.downloads.copy(), shop.encoded()
    began = time.monotonic()
    rows = messy_export(next_night(products), host.url, seed)
    found = shop.send("night two", rows)
    seconds = time.monotonic() - began
    again = {
        path: count
        for path, count in (host.downloads - downloads).items()
        if path not in gone and path not in changed
    }
    for path, count in list(again.items())[:SHOWN]:
        print(f"  WRONG night two: {path} was sent {count} times again", file=sys.stderr)
    # A new picture is one item; new words are as many as the product has.
    new = len(changed) + sum(len(one.pictures) for one in sold if renamed(one))
    return {
        "account": found,
        "night_two_downloads": sum(again.values()),
        "night_two_encodings": shop.encoded() - encoded - new,
        "seconds_night_two": round(seconds, 1),
    }


def run(settings: Settings, products: int, queries: int, seed: int, bars: Bars) -> dict[str, Any]:
    """Both shops, one after the other: the figures."""
    with bars.task("drawing the pictures"):
        catalog = make_products(products, seed)
        hostile, quick = HostilePictures(catalog), ShopPictures(catalog)
    texts = [catalog[number * products // queries].words for number in range(queries)]
    with open_shop(settings, quick, bars) as shop:
        clean = first_night(shop, "the clean twin", clean_export(catalog, quick.url), texts)
    with open_shop(settings, hostile, bars) as shop:
        rows = messy_export(catalog, hostile.url, seed)
        messy = first_night(shop, "the messy export", rows, texts)
        again = second_night(shop, hostile, catalog, seed)
    one, two, twin = messy.pop("account"), again.pop("account"), clean.pop("account")
    return {
        "products": products,
        "products_searchable": one.searchable,
        "lost_silently": one.lost_silently + two.lost_silently,
        "partial": one.partial,
        "refused": one.refused,
        "refused_without_reason": one.refused_without_reason + two.refused_without_reason,
        "wrongly_refused": one.wrongly_refused + two.wrongly_refused,
        "wrongly_accepted": one.wrongly_accepted + two.wrongly_accepted,
        **again,
        **messy,
        "throttled": hostile.answers[TOO_MANY],
        "lost_pictures": len(hostile.lost),
        "clean_searchable": twin.searchable,
        **{f"clean_{name}": value for name, value in clean.items()},
        "wrong": one.wrong + two.wrong + twin.wrong + twin.partial,
    }


def main() -> None:
    """Run and print one JSON object last; status 1 if anything was lost, or done in vain."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--products", type=int, default=2_000)
    parser.add_argument("--queries", type=int, default=200, help="at most, while it is ingested")
    parser.add_argument("--broker", choices=BROKERS, default="settings")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if not 1 <= options.products <= MOST_PRODUCTS:
        parser.error(f"--products is from 1 to {MOST_PRODUCTS}")
    try:
        with ExitStack() as stack:
            settings = stack.enter_context(settings_for(options.broker))
            bars = stack.enter_context(open_progress())
            found = run(settings, options.products, options.queries, options.seed, bars)
    except ServerMissing as missing:
        raise SystemExit(str(missing)) from missing
    in_vain = found["night_two_downloads"] + abs(found["night_two_encodings"])
    wrong = found.pop("wrong") + in_vain + found["unanswered"] + found["clean_unanswered"]
    print(orjson.dumps(found).decode())
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
