"""Pictures of a product that could not be had, and the dead letter that says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from stream.delivery import Rejection
from workers.errors import IntakeError
from workers.intake.reasons import full_reason

PARTIAL = "PartialProduct"
"""The class of dead letters about products that were applied without some of their pictures."""


@dataclass(frozen=True)
class MissingPictures:
    """Which pictures are missing and why, and how many the event has."""

    reasons: tuple[str, ...]
    error_class: str
    pictures: int

    @classmethod
    def of(cls, errors: Mapping[int, IntakeError], references: Sequence[str]) -> Self:
        """Those that these errors stand for, by the picture's place; at least one."""
        reasons = [
            f"picture {n + 1}, {full_reason(references[n], error)}" for n, error in errors.items()
        ]
        return cls(tuple(reasons), type(next(iter(errors.values()))).__name__, len(references))

    def partial(self) -> Rejection:
        """The letter about a product that was applied without them."""
        return Rejection(
            f"{len(self.reasons)} of {self.pictures} pictures are missing, and the rest of the "
            f"event is applied. Redrive it when they are there. {'; '.join(self.reasons)}",
            PARTIAL,
        )

    def rejection(self) -> Rejection:
        """The letter about an event of which nothing could be applied without them."""
        return Rejection("; ".join(self.reasons), self.error_class)
