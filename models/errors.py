"""What can go wrong in the models room.

ModelError
├── WeightsError      weights are missing, changed, or do not fit the network
│   └── HubError      an encoder cannot be fetched from a hub; `reason` says which way it failed
├── PictureError      a picture cannot be decoded or encoded: damaged, too small, no picture
│   └── TooManyPixels it is larger than it may be
├── TextError         a text cannot be encoded: not a string, or too long to be a product's
├── JuiceError        stored juice cannot be read: truncated, or of another format
├── ProjectionError   a projection does not fit its backbone, or cannot be fitted from the data
├── AdaptationError   a catalog has too little to learn a query map from
├── CatalogError      a catalog folder, a feed or a row cannot be read; says where
│   └── MappingError  an expression of the settings' catalog mapping cannot be read
├── MetricError       a measure was asked of arrays that do not fit it
├── RerankerError     the reranker's parameters are missing, or cannot be fitted from the data
│   └── RerankerLate  it did not answer in the time that it had
├── TrainingError     training was asked for what cannot be, or no longer converges
├── CurationError     documents, labels or links to curate that do not fit together
└── SyntheticError       no renderer here, or the folder was written with other options
"""

from __future__ import annotations


class ModelError(Exception):
    """Everything this room raises on purpose."""


class WeightsError(ModelError):
    """Weights are missing, differ from their checksum, or do not fit the network."""


class HubError(WeightsError):
    """An encoder that cannot be fetched from a hub; the message says what to do next.

    Attributes:
        reason: a `models.hub.reasons.Reason`, one word for programs.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class PictureError(ModelError):
    """A picture that cannot be decoded, or whose array cannot be encoded: not uint8 H × W × 3, or
    too small."""


class TooManyPixels(PictureError):
    """A picture with more pixels than may be decoded."""


class TextError(ModelError):
    """A text that cannot be encoded."""


class JuiceError(ModelError):
    """Stored juice that cannot be read: truncated, or written in another format."""


class ProjectionError(ModelError):
    """A projection that does not fit its backbone, or training data too small to fit one."""


class AdaptationError(ModelError):
    """A catalog with too little to learn a query map from; the message says what is missing."""


class CatalogError(ModelError):
    """A catalog folder, a feed or a row that cannot be read; the message says where."""


class MappingError(CatalogError):
    """An expression of `[catalog.map]` or `[catalog.when]` that cannot be read; says where."""


class MetricError(ModelError):
    """A measure asked of arrays that do not fit it, or of queries with nothing relevant."""


class RerankerError(ModelError):
    """Reranker parameters that are missing or damaged, or a split too small to fit them."""


class RerankerLate(RerankerError):
    """A reranker did not answer in the time that it had: retrieval's order stands."""


class CurationError(ModelError):
    """Documents, labels or links to curate that do not fit together, or cannot be read."""


class TrainingError(ModelError):
    """Training data, shapes or settings that do not fit, a loss that is not finite, a checkpoint
    of another run."""


class SyntheticError(ModelError):
    """This machine cannot render, or the folder was written with other options."""
