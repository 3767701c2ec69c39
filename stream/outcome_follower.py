"""How single records ended: follows the outcome topic for those who wait for one of them.

A record may end before anybody asks for it, so the latest ends are remembered.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal

from stream.connection import Kafka
from stream.event_sender import Place
from stream.messages import Outcomes
from stream.outcomes import OutcomeReader
from stream.topics import Topics

REMEMBERED = 100_000
IDLE_S = 0.5


@dataclass(frozen=True)
class End:
    """How a record ended; `reason` says why it was refused."""

    state: Literal["applied", "superseded", "refused"]
    reason: str = ""


class OutcomeFollower:
    """Follows the outcomes from now on, in a thread of its own, until it is closed.

    Raises `BrokerError` on start if the topic is missing or Kafka does not answer.
    """

    def __init__(self, kafka: Kafka, topics: Topics, *, remembered: int = REMEMBERED) -> None:
        self._reader = OutcomeReader(kafka, topics)
        self._remembered = remembered
        self._ends: OrderedDict[Place, End] = OrderedDict()
        self._waiting: dict[Place, list[Future[End]]] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="outcomes", daemon=True)
        self._thread.start()

    def wait(self, place: Place) -> "Future[End]":
        """The end of a record; cancel the future to stop waiting."""
        ended: Future[End] = Future()
        with self._lock:
            if place in self._ends:
                ended.set_result(self._ends[place])
            else:
                self._waiting.setdefault(place, []).append(ended)
        ended.add_done_callback(lambda done: self._forget(place, done))
        return ended

    def close(self) -> None:
        """Stop; those who wait are cancelled."""
        self._closing.set()
        self._thread.join()
        with self._lock:
            waiting = [one for each in self._waiting.values() for one in each]
        for one in waiting:
            one.cancel()

    def _follow(self) -> None:
        try:
            while not self._closing.is_set():
                for outcomes in self._reader.read(IDLE_S):
                    self._note(outcomes)
                    if self._closing.is_set():
                        break
        finally:
            self._reader.close()

    def _note(self, outcomes: Outcomes) -> None:
        for place, end in ends_of(outcomes):
            with self._lock:
                self._ends[place] = end
                if len(self._ends) > self._remembered:
                    self._ends.popitem(last=False)
                waiting = list(self._waiting.get(place, ()))
            for one in waiting:
                if one.set_running_or_notify_cancel():
                    one.set_result(end)

    def _forget(self, place: Place, done: "Future[End]") -> None:
        with self._lock:
            left = [one for one in self._waiting.get(place, ()) if one is not done]
            if left:
                self._waiting[place] = left
            else:
                self._waiting.pop(place, None)


def ends_of(outcomes: Outcomes) -> Iterator[tuple[Place, End]]:
    """Each record of a message of outcomes, with its end."""
    for state in ("applied", "superseded"):
        for offset in getattr(outcomes, state):
            yield Place(outcomes.topic, outcomes.partition, offset), End(state)
    for one in outcomes.refused:
        place = Place(outcomes.topic, outcomes.partition, one.offset)
        yield place, End("refused", one.reason)
