"""Errors of the workers.

WorkerError
├── SettingsError      a setting is missing, unknown or out of range
├── IntakeError        a picture that is not available
│   ├── FetchError     it could not be read or downloaded
│   │   └── HeadersMissing  a header of its host, from the settings, cannot be made
│   ├── DeadlineExceeded  it did not come in time for the query that needs it
│   └── PictureRefused it was read, but is no picture we may decode
├── ValueNotInRecord   a record leaves out what did not change, and nobody has it
├── DecoderError       no decoder process can be started; no picture is to blame
├── EvidenceError      what a catalog has kept as its own evidence cannot be read
├── QueryFailed       a query of a run that needs all its answers got none
├── TooManyDeletes     a folder that is to be complete names too few products
└── StackError         a process of `up` did not start or died
"""

from __future__ import annotations


class WorkerError(Exception):
    """Base of the workers' errors; the message says what to do next."""


class SettingsError(WorkerError):
    """A setting is missing, unknown or out of range."""


class IntakeError(WorkerError):
    """A picture is not available; a retry would not help."""


class FetchError(IntakeError):
    """The reference could not be read or downloaded."""


class HeadersMissing(FetchError):
    """A header that the settings name for the picture's host could not be read."""


class DeadlineExceeded(IntakeError):
    """A query's picture did not come before its deadline."""


class PictureRefused(IntakeError):
    """The bytes are no picture, or one over the limits."""


class ValueNotInRecord(WorkerError):
    """A record leaves out a value that did not change, and there is no product to take it from."""


class DecoderError(WorkerError):
    """No decoder process is available: it does not start, or this worker is ending."""


class EvidenceError(WorkerError):
    """What a catalog has kept as its own evidence cannot be read."""


class QueryFailed(WorkerError):
    """A query got no list, in a run that needs them all."""


class TooManyDeletes(WorkerError):
    """More products would be deleted than may be without being asked."""


class StackError(WorkerError):
    """A process that `up` started did not come up, or died."""
