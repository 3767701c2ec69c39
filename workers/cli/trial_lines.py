"""A trial of an encoder as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from workers.jobs.trial_advice import SAID
from workers.jobs.try_encoder import Trial


def trial_lines(trial: Trial, present: str, candidate: str) -> Iterator[str]:
    """A head, a line for each exam, and one for the time."""
    rows = [
        ("found first", "queries", present, candidate, "difference"),
        *(
            (
                SAID[name],
                f"{one.queries:,}",
                f"{one.first:.1%}",
                f"{one.second:.1%}",
                f"{one.difference:+.1%} ± {one.error:.1%}",
            )
            for name, one in trial.exams.items()
        ),
        (
            "ms for a picture",
            "",
            f"{trial.present_ms:.0f}",
            f"{trial.candidate_ms:.0f}",
            f"× {trial.candidate_ms / trial.present_ms:.1f}",
        ),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    yield f"{trial.products:,} products, {trial.pictures:,} pictures"
    for first, *others in rows:
        cells = (f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True))
        yield "  ".join([f"{first:<{widths[0]}}", *cells])
