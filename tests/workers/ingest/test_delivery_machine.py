"""Any order, any duplication, any crash: the index ends as the oracle says; only poison is refused.

A random run sends events to a log, delivers batches of it through the ingest worker's steps, with
some products parked whose events come later, kills the worker before the write, at any call to
Milvus in it, or before the ack, hands the log over to another worker and back, and repartitions the
catalog while batches are delivered.
"""

import asyncio
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from index.lifecycle.repartition import repartition
from index.milvus.client import Client
from index.milvus.collection import Collection
from stream.delivery import Delivery, Outcome, Rejection, State
from stream.records import Record
from tests.doubles.colours import PICTURES, ColourEncoder
from tests.doubles.oracle import IndexOracle
from tests.servers.milvus import LiteServer
from workers.catalog_index import CatalogIndex, open_catalog
from workers.config.sections import IntakeSettings
from workers.config.settings import Settings
from workers.ingest.last_write_wins import Change
from workers.ingest.missing import PARTIAL
from workers.ingest.steps import Ingest
from workers.intake.fetch import open_fetcher

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FIRST_MS = 1_700_000_000_000
NO_PICTURE = "data:image/png;base64,AAAA"
"""One that is refused: its product is applied without it."""
BATCH = 5
CALLS = 8  # of Milvus, about what a batch's write takes
COPY_CALLS = 40  # about what copying the catalog takes

offers = st.fixed_dictionaries(
    {},
    optional={
        "price": st.sampled_from([None, 1.0, 2.0]),
        "currency": st.sampled_from([None, "EUR"]),
        "in_stock": st.booleans(),
        "attributes": st.sampled_from([None, {}, {"size": 1}]),
    },
)
contents = st.fixed_dictionaries(
    {"type": st.just("upsert"), "title": st.sampled_from(["x", "y"]), "category": st.just(["c"])},
    optional={
        "image": st.sampled_from([PICTURES["red"], PICTURES["lime"], NO_PICTURE]),
        "images": st.lists(
            st.sampled_from([PICTURES["blue"], PICTURES["cyan"], NO_PICTURE]), unique=True
        ),
    },
)
upserts = st.builds(lambda content, offer: {**content, **offer}, contents, offers)
patches = offers.filter(bool).map(lambda offer: {"type": "patch", **offer})
deletes = st.just({"type": "delete"})
# Few versions and times, so that they tie and contradict each other; and without a time the
# record's own, which is later than all of them.
times: st.SearchStrategy[dict[str, int]] = st.fixed_dictionaries(
    {},
    optional={
        "version": st.integers(0, 6),
        "event_time": st.integers(FIRST_MS, FIRST_MS + 6)
        | st.integers(FIRST_MS + 1000, FIRST_MS + 1010),
    },
)
products = st.sampled_from(["a", "b", "c"])
poison = st.sampled_from(
    [
        b"no JSON",
        b"",
        b'{"type": "patch", "product_id": "a", "price": 1, "colour": "red"}',
        b'{"type": "patch", "product_id": "never-seen", "price": 1}',
        b'{"type": "upsert", "product_id": "a", "image": "data:image/png;base64,AAAA"}',
        orjson.dumps({"type": "upsert", "product_id": "a", "attributes": {"a": "x" * 70_000}}),
    ]
)


class Killed(BaseException):
    """The worker is killed here; no `except Exception` may stop it."""


class Worker:
    """One ingest worker, which can be told where to die."""

    def __init__(self, deployment: Settings, letters: set[int]) -> None:
        encoder = ColourEncoder()
        self.index = CatalogIndex(deployment, encoder.model_id)
        self.kill = ""
        self._encoder = encoder
        self._letters = letters

    async def deliver(self, batch: Sequence[Record], *, begin: bool = False) -> None:
        """Deliver; with `begin` after their pictures were fetched ahead."""
        async with open_fetcher(IntakeSettings()) as fetcher:
            steps = Ingest(fetcher, self._encoder, self.index)
            if begin:
                begun = steps.begin(batch)
                await asyncio.gather(*(one.waits_for for one in begun if one.waits_for))

            async def prepare(records: Sequence[Record]) -> list[Change | State | Rejection]:
                prepared = await steps.prepare(records)
                if self.kill == "before write":
                    raise Killed
                return prepared

            async def bury(record: Record, why: Rejection, _attempts: int) -> None:
                if why.error_class != PARTIAL:
                    self._letters.add(record.offset)

            async def write(changes: Sequence[Change]) -> list[Outcome]:
                return await steps.write(changes)

            await Delivery(prepare, write, bury).deliver(batch)
        if self.kill == "before ack":
            raise Killed


class InterleavedWriter:
    """Delivers some records each time that a copy asks what was written."""

    def __init__(
        self, index: CatalogIndex, sizes: Iterator[int], deliver: Callable[[int], None]
    ) -> None:
        self._index = index
        self._sizes = sizes
        self._deliver = deliver
        self._switching = False

    def take_written(self) -> set[str]:
        if not self._switching:  # then the lock would keep a thread of its own from writing
            self._deliver(next(self._sizes, 0))
        return self._index.take_written()

    @contextmanager
    def switching(self, successor: Collection) -> Iterator[None]:
        with self._index.switching(successor):
            self._switching = True
            yield


@contextmanager
def killed_at_call(number: int, *, done: bool) -> Iterator[None]:
    """Kill the worker at a call to Milvus, before it is made or (`done`) after."""
    call, left = Client.call, number

    def deadly(client: Client, *args: Any, **kwargs: Any) -> Any:
        nonlocal left
        if isinstance(threading.current_thread(), threading.Timer):  # a flush when idle
            return call(client, *args, **kwargs)
        left -= 1
        if left == 0 and not done:
            raise Killed
        answer = call(client, *args, **kwargs)
        if left == 0:
            raise Killed
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Client, "call", deadly)
        yield


class Shop(RuleBasedStateMachine):
    """A log of one partition, two workers that take turns, and the index."""

    uri = ""

    def __init__(self) -> None:
        super().__init__()
        self.scratch = tempfile.TemporaryDirectory()
        self.deployment = Settings.model_validate(
            {
                "data_dir": Path(self.scratch.name),
                "milvus": {"uri": self.uri, "kind": "lite", "collection": f"m{uuid4().hex[:8]}"},
            }
        )
        self.log: list[Record] = []
        self.poison: set[int] = set()
        self.letters: set[int] = set()
        self.acked = 0
        self.ended: set[int] = set()  # offsets that are delivered, and not acked yet
        self.workers = [Worker(self.deployment, self.letters) for _ in range(2)]

    @initialize()
    def open_the_shop(self) -> None:
        for product in ("a", "b", "c"):  # patches need a product that was there once
            event = {"type": "upsert", "title": "first", "category": [], "product_id": product}
            self._append(product, orjson.dumps(event | {"version": 0}))

    @rule(product=products, event=st.one_of(upserts, patches, deletes), time=times)
    def send(self, product: str, event: dict[str, Any], time: dict[str, int]) -> None:
        self._append(product, orjson.dumps({**event, **time, "product_id": product}))

    @rule(product=products)
    def send_a_tombstone(self, product: str) -> None:
        self._append(product, None)

    @rule(value=poison)
    def send_poison(self, value: bytes) -> None:
        self.poison.add(len(self.log))
        self._append("a", value)

    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        offset = data.draw(st.integers(0, len(self.log) - 1))
        if offset in self.poison:
            self.poison.add(len(self.log))
        old = self.log[offset]
        self._append((old.key or b"").decode(), old.value)

    @precondition(lambda self: self.acked < len(self.log))
    @rule(
        size=st.integers(1, BATCH),
        kill=st.sampled_from(["", "", "before write", "before ack"]),
        parked=st.frozensets(products, max_size=2),
        begin=st.booleans(),
    )
    def deliver(self, size: int, kill: str, parked: frozenset[str], begin: bool) -> None:
        self._deliver(size, kill, parked, begin=begin)

    @precondition(lambda self: self.acked < len(self.log))
    @rule(size=st.integers(1, BATCH), calls=st.integers(1, CALLS), done=st.booleans())
    def deliver_and_die_writing(self, size: int, calls: int, done: bool) -> None:
        """Killed at one of the calls to Milvus, before it was made or after."""
        with killed_at_call(calls, done=done):
            self._deliver(size)

    @precondition(lambda self: self.acked > 0)
    @rule(
        prototypes=st.integers(1, 4),
        sizes=st.lists(st.integers(0, BATCH), max_size=6),
        calls=st.integers(1, 3 * COPY_CALLS),
        done=st.booleans(),
    )
    def repartition_beside_deliveries(
        self, prototypes: int, sizes: list[int], calls: int, done: bool
    ) -> None:
        """Killed at one of the calls to Milvus, or not at all where there are fewer."""
        worker = self.workers[0]
        writer = InterleavedWriter(worker.index, iter(sizes), self._deliver_or_die)
        worker.kill = ""
        try:
            with killed_at_call(calls, done=done):
                if (collection := worker.index.begin_copy()) is not None:
                    registry = worker.index.registry
                    seed = len(self.log)
                    repartition(
                        collection,
                        registry,
                        prototypes=prototypes,
                        seed=seed,
                        writer=writer,
                        grace_s=0,
                    )
                worker.index.end_copy()
        except Killed:
            self._restart()

    @rule()
    def hand_over(self) -> None:
        self.ended.clear()  # what was parked, and all behind it, comes again
        self.workers.reverse()
        self.workers[0].index.close()  # what a worker does when it is assigned partitions

    @precondition(lambda self: self.acked == len(self.log))
    @rule()
    def compare(self) -> None:
        oracle = IndexOracle()
        for record in self.log:
            if record.offset not in self.poison:
                oracle.apply(record)
        with open_catalog(self.deployment)[0] as collection:
            rows = [item for page in collection.scan(vectors=True) for item in page]
        difference = oracle.compare(rows)
        assert not difference.examples
        assert self.letters == self.poison

    def teardown(self) -> None:
        try:
            while self.acked < len(self.log):
                self._deliver(BATCH)
            if self.log:
                self.compare()
                with open_catalog(self.deployment)[0] as collection:
                    collection.drop_all()
        finally:
            for worker in self.workers:
                worker.index.close()
            self.scratch.cleanup()

    def _append(self, key: str, value: bytes | None) -> None:
        offset = len(self.log)
        self.log.append(
            Record(
                topic="catalog",
                partition=0,
                offset=offset,
                key=key.encode(),
                value=value,
                timestamp_ms=FIRST_MS + 1000 + offset // 3,
            )
        )

    def _deliver(
        self,
        size: int,
        kill: str = "",
        parked: frozenset[str] = frozenset(),
        *,
        begin: bool = False,
    ) -> None:
        self.workers[0].kill = kill
        try:
            self._deliver_or_die(size, parked, begin=begin)
        except Killed:
            self._restart()

    def _deliver_or_die(
        self, size: int, parked: frozenset[str] = frozenset(), *, begin: bool = False
    ) -> None:
        """Deliver the next records whose product is not parked, and ack up to the first parked."""
        waiting = [record for record in self.log[self.acked :] if record.offset not in self.ended]
        batch = [one for one in waiting if (one.key or b"").decode() not in parked][:size]
        if batch:
            asyncio.run(self.workers[0].deliver(batch, begin=begin))
            self.ended |= {record.offset for record in batch}
        while self.acked in self.ended:
            self.ended.remove(self.acked)
            self.acked += 1

    def _restart(self) -> None:
        self.ended.clear()
        self.workers[0].index.close()
        self.workers[0] = Worker(self.deployment, self.letters)


@pytest.fixture(scope="module")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with LiteServer(tmp_path_factory.mktemp("machine") / "milvus") as server:
        yield server.uri


def test_the_index_ends_as_the_oracle_says(milvus: str) -> None:
    Shop.uri = milvus
    run_state_machine_as_test(
        Shop,
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            suppress_health_check=list(HealthCheck),
        ),
    )
