"""What may be committed while records are under way, whatever order they end in."""

from hypothesis import given
from hypothesis import strategies as st

from stream.in_flight import InFlight
from stream.records import Record


def record(partition: int, offset: int) -> Record:
    return Record(
        topic="t", partition=partition, offset=offset, key=None, value=b"", timestamp_ms=0
    )


@given(st.data(), st.integers(0, 12))
def test_nothing_from_the_first_unfinished_on_may_be_committed(
    data: st.DataObject, size: int
) -> None:
    records = [record(n % 2, n // 2) for n in range(size)]
    # Some are read again after a rebalance, while they are under way.
    again = data.draw(st.lists(st.sampled_from(records), max_size=4)) if records else []
    in_flight, left = InFlight(), [*records, *again]
    in_flight.add(records)
    in_flight.add(again)
    for one in data.draw(st.permutations(left)):
        assert in_flight.first_unfinished() == {
            ("t", partition): min(r.offset for r in left if r.partition == partition)
            for partition in {r.partition for r in left}
        }
        assert len(in_flight) == len(left)
        in_flight.finish([one])
        left.remove(one)
    assert not len(in_flight)
    assert not in_flight.first_unfinished()
