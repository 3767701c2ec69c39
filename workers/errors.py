"""What can go wrong where the rooms meet.

WorkerError
├── SettingsError      a setting is missing, unknown or out of range
├── IntakeError        a picture that can't be had
│   ├── FetchError     it could not be read or downloaded
│   └── PictureRefused it was read, but is no picture we may decode
├── DecoderError       no decoder process can be had; no picture is to blame
├── QueryRefused       a query of a run that needs all its answers got none
└── StackError         a process of `up` did not start or died
"""

from __future__ import annotations


class WorkerError(Exception):
    """Base of this room's errors; its message says what to do next."""


class SettingsError(WorkerError):
    """A setting is missing, unknown or out of range."""


class IntakeError(WorkerError):
    """A picture can't be had; asking again would not help."""


class FetchError(IntakeError):
    """The reference could not be read or downloaded."""


class PictureRefused(IntakeError):
    """The bytes are no picture, or one over the limits."""


class DecoderError(WorkerError):
    """No decoder process can be had: it does not start, or this worker is ending."""


class QueryRefused(WorkerError):
    """A query got no list, in a run that needs them all."""


class StackError(WorkerError):
    """A process that `up` started did not come up, or died."""
