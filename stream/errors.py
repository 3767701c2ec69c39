"""Everything that can go wrong with the stream, as one tree.

    StreamError
    ├── Transient            try again: nothing was wrong with the record
    ├── Permanent            can never work: dead-letter the record
    │   └── DecodeError      the bytes are not the message that was expected
    ├── BrokerError          Kafka cannot be reached, refused, or did not keep a message
    ├── RecordingError       a recorded stream cannot be written or read
    ├── RequestTimeout       a query got no answer in time
    └── DeliveryStuck        a consumer stopped making progress

`Transient` and `Permanent` are how a prepare or write step reports what went wrong (`delivery.py`);
after any other error the worker exits un-acked.
"""


class StreamError(Exception):
    """Base of every error of this room."""


class Transient(StreamError):
    """The step failed for a reason that passes (a store is down, a peer is slow): try again."""


class Permanent(StreamError):
    """The step can never work on this record: dead-letter it, keep the others."""


class DecodeError(Permanent):
    """The bytes are not a message of the expected type; the text names the field and the remedy.

    Attributes:
        field: the field that it is about; None where it is about none, or about several.
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class BrokerError(StreamError):
    """Kafka cannot be reached, refused a request, or did not confirm a message."""


class RecordingError(StreamError):
    """A file of recorded records cannot be written or read; the text names the line."""


class RequestTimeout(StreamError):
    """A query got no result within its time-out."""


class DeliveryStuck(StreamError):
    """A consumer or a wait for one made no progress for too long."""
