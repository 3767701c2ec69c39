"""Brokers that refuse for a moment: asked again, and given up on in the end."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from stream.connection import retry_until_leader


class Refusing:
    """Refuses `times` times, as a partition without a leader does, then answers."""

    def __init__(self, times: int) -> None:
        self.left = times

    def ask(self, what: str, *, timeout: float) -> str:
        if self.left:
            self.left -= 1
            raise KafkaException(KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION))
        return f"{what} within {timeout}"


def test_a_refusal_is_asked_again() -> None:
    assert retry_until_leader(Refusing(2).ask, "offsets", timeout=1) == "offsets within 1"


def test_patience_ends_with_the_reason() -> None:
    with pytest.raises(KafkaException) as refused:
        retry_until_leader(Refusing(1_000).ask, "offsets", timeout=1, retry_s=0.3)
    assert refused.value.args[0].code() == KafkaError.NOT_LEADER_FOR_PARTITION
