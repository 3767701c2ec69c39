"""Fault injection while a catalog is ingested: what fails, and when, from a seed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.shop.worker_pool import WorkerPool
from tests.servers.kafka import KafkaCluster
from tests.servers.milvus import LiteServer

MAX_WORKERS = 3
# Seconds between two faults of workers, on average.
WORKER_FAULT_EVERY_S = 10.0
MILVUS_DOWN_S = 30.0
CLUSTER_DOWN_S = 15.0
BROKER_DOWN_S = 10.0

Report = Callable[[str], None]


@dataclass(frozen=True)
class Outage:
    """A server is down for `seconds`, once `progress` (0..1) of the events are ingested."""

    name: str
    progress: float
    seconds: float
    begin: Callable[[], None]
    end: Callable[[], None]


def milvus_outage(milvus: LiteServer, progress: float) -> Outage:
    """Milvus Lite is stopped, and started again on its data."""
    return Outage("Milvus is stopped", progress, MILVUS_DOWN_S, milvus.stop, milvus.up)


def kafka_outages(cluster: KafkaCluster, topic: str, progress: Sequence[float]) -> list[Outage]:
    """The leader of a partition is killed; another broker is stopped; all are killed."""
    down: list[int] = []

    def kill_leader() -> None:
        down[:] = [cluster.leader(topic)]
        cluster.kill(*down)

    def stop_another() -> None:
        down[:] = [node for node in cluster.nodes if node not in down][:1]
        cluster.stop(*down)

    def restart() -> None:
        cluster.up(*down)

    return [
        Outage("the partition leader is killed", progress[0], BROKER_DOWN_S, kill_leader, restart),
        Outage("another broker is stopped", progress[1], BROKER_DOWN_S, stop_another, restart),
        Outage("the whole cluster is down", progress[2], CLUSTER_DOWN_S, cluster.kill, cluster.up),
    ]


class FaultInjector:
    """Begins and ends outages one after the other, and faults of workers at random moments."""

    def __init__(
        self, workers: WorkerPool, outages: Sequence[Outage], seed: int, report: Report
    ) -> None:
        self._workers = workers
        self._pending = sorted(outages, key=lambda outage: outage.progress)
        self._rng = random.Random(seed)
        self._report = report
        self._current: tuple[Outage, float] | None = None
        self._next_worker_fault = time.monotonic() + WORKER_FAULT_EVERY_S

    @property
    def outages_over(self) -> bool:
        """Whether every server has been down and is up again."""
        return not self._pending and self._current is None

    def step(self, progress: float, *, worker_faults: bool = True) -> None:
        """Begin and end what is due at this progress (0..1) of ingestion."""
        now = time.monotonic()
        if self._current:
            outage, until = self._current
            if now >= until:
                outage.end()
                self._current = None
                self._report(f"over: {outage.name}")
        elif self._pending and progress >= self._pending[0].progress:
            outage = self._pending.pop(0)
            self._report(f"at {progress:.0%}: {outage.name} for {outage.seconds:g} s")
            outage.begin()
            self._current = (outage, time.monotonic() + outage.seconds)
        if worker_faults and now >= self._next_worker_fault:
            self._worker_fault()
            self._next_worker_fault = time.monotonic() + self._rng.expovariate(
                1 / WORKER_FAULT_EVERY_S
            )

    def _worker_fault(self) -> None:
        running = self._workers.running
        kind = self._rng.choices(("kill", "stop", "start"), (5, 2, 3))[0]
        if kind == "start" and len(running) < MAX_WORKERS:
            self._report(f"worker {self._workers.start()} joins")
        elif kind == "stop" and len(running) > 1:
            number = self._rng.choice(running)
            self._report(f"worker {number} leaves, in {self._workers.stop(number):.1f} s")
        elif running:
            number = self._rng.choice(running)
            self._workers.kill(number)
            self._report(f"worker {number} is killed")
