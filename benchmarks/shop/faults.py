"""What goes wrong while a catalog is ingested, and when: chosen by a seed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.servers.kafka import KafkaCluster
from benchmarks.servers.milvus import LiteServer
from benchmarks.shop.worker_pool import Staff

MOST_WORKERS = 3
# Seconds between two troubles with the staff, on average.
STAFF_EVERY_S = 10.0
MILVUS_AWAY_S = 30.0
CLUSTER_AWAY_S = 15.0
BROKER_AWAY_S = 10.0

Report = Callable[[str], None]


@dataclass(frozen=True)
class Outage:
    """A server goes away for `seconds`, once `progress` (0..1) of the events are ingested."""

    name: str
    progress: float
    seconds: float
    away: Callable[[], None]
    back: Callable[[], None]


def milvus_outage(milvus: LiteServer, progress: float) -> Outage:
    """Milvus Lite is ended, and started again on its data."""
    return Outage("Milvus is stopped", progress, MILVUS_AWAY_S, milvus.stop, milvus.up)


def kafka_outages(cluster: KafkaCluster, topic: str, progress: Sequence[float]) -> list[Outage]:
    """The leader of a partition is killed; another broker is stopped; all are down."""
    gone: list[int] = []

    def kill_leader() -> None:
        gone[:] = [cluster.leader(topic)]
        cluster.kill(*gone)

    def stop_another() -> None:
        gone[:] = [node for node in cluster.nodes if node not in gone][:1]
        cluster.stop(*gone)

    def bring_back() -> None:
        cluster.up(*gone)

    return [
        Outage(
            "the partition leader is killed", progress[0], BROKER_AWAY_S, kill_leader, bring_back
        ),
        Outage("another broker is stopped", progress[1], BROKER_AWAY_S, stop_another, bring_back),
        Outage("the whole cluster is down", progress[2], CLUSTER_AWAY_S, cluster.kill, cluster.up),
    ]


class Troubles:
    """Brings outages one after the other, and troubles the staff at random moments meanwhile."""

    def __init__(self, staff: Staff, outages: Sequence[Outage], seed: int, report: Report) -> None:
        self._staff = staff
        self._waiting = sorted(outages, key=lambda outage: outage.progress)
        self._rng = random.Random(seed)
        self._report = report
        self._away: tuple[Outage, float] | None = None
        self._next_staff = time.monotonic() + STAFF_EVERY_S

    @property
    def over(self) -> bool:
        """Whether every server has been away and is back."""
        return not self._waiting and self._away is None

    def look(self, progress: float, *, staff: bool = True) -> None:
        """Do what is due; `staff` says whether workers may still be troubled."""
        now = time.monotonic()
        if self._away:
            outage, until = self._away
            if now >= until:
                outage.back()
                self._away = None
                self._report(f"back: {outage.name}")
        elif self._waiting and progress >= self._waiting[0].progress:
            outage = self._waiting.pop(0)
            self._report(f"at {progress:.0%}: {outage.name} for {outage.seconds:g} s")
            outage.away()
            self._away = (outage, time.monotonic() + outage.seconds)
        if staff and now >= self._next_staff:
            self._trouble_staff()
            self._next_staff = time.monotonic() + self._rng.expovariate(1 / STAFF_EVERY_S)

    def _trouble_staff(self) -> None:
        present = self._staff.present
        kind = self._rng.choices(("kill", "leave", "join"), (5, 2, 3))[0]
        if kind == "join" and len(present) < MOST_WORKERS:
            self._report(f"worker {self._staff.join()} joins")
        elif kind == "leave" and len(present) > 1:
            number = self._rng.choice(present)
            self._report(f"worker {number} leaves, in {self._staff.leave(number):.1f} s")
        elif present:
            number = self._rng.choice(present)
            self._staff.kill(number)
            self._report(f"worker {number} is killed")
