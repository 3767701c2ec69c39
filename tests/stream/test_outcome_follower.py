"""Who waits for the end of a record hears of it, whether it ends before or after they ask."""

import pytest

from stream.connection import Kafka
from stream.delivery import Ended, Rejection, State
from stream.event_sender import Place
from stream.messages import Outcomes, RefusedRecord
from stream.outcome_follower import End, OutcomeFollower, ends_of
from stream.outcomes import OutcomeWriter
from stream.topics import Topics


def test_the_end_of_each_record() -> None:
    outcomes = Outcomes(
        topic="t",
        partition=2,
        applied=(4,),
        superseded=(5,),
        refused=(RefusedRecord(offset=6, error_class="E", reason="no picture"),),
    )
    assert dict(ends_of(outcomes)) == {
        Place("t", 2, 4): End("applied"),
        Place("t", 2, 5): End("superseded"),
        Place("t", 2, 6): End("refused", "no picture"),
    }


@pytest.mark.slow
def test_asked_before_and_after_it_ended(kafka: Kafka, topics: Topics) -> None:
    follower = OutcomeFollower(kafka, topics, remembered=2)
    writer = OutcomeWriter(kafka, topics)
    try:
        early = follower.wait(Place("catalog", 0, 1))
        never = follower.wait(Place("catalog", 0, 9))
        writer.write([Ended("catalog", 0, 1, State.APPLIED)])
        writer.close()
        assert early.result(20) == End("applied")
        assert follower.wait(Place("catalog", 0, 1)).result(0) == End("applied")
        writer.write([Ended("catalog", 0, at, Rejection("bad", "DecodeError")) for at in (2, 3, 4)])
        writer.close()
        assert follower.wait(Place("catalog", 0, 4)).result(20) == End("refused", "bad")
        assert follower.wait(Place("catalog", 0, 3)).result(0) == End("refused", "bad")
        forgotten = follower.wait(Place("catalog", 0, 1))
        assert not forgotten.done()
        assert not never.done()
    finally:
        follower.close()
    assert never.cancelled()
    assert forgotten.cancelled()
