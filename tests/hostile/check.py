"""Puts a hostile input through intake, and compares what became of it with what must."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from models.images.letterbox import Picture
from tests.hostile.case import Case
from workers.errors import IntakeError
from workers.intake.fetch import Fetcher

LIMIT_S = 40.0
COLOUR_TOLERANCE = 12


@dataclass
class Tally:
    """Outcomes counted so far; `notes` say what was wrong with which case."""

    inputs: int = 0
    wrong: int = 0
    crashed: int = 0
    hung: int = 0
    accepted: int = 0
    refused: int = 0
    notes: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def note(self, case: str, problem: str) -> None:
        """Remember what went wrong."""
        self.notes.append(f"{case}: {problem}")


async def check_case(case: Case, fetcher: Fetcher, tally: Tally) -> None:
    """Fetch and decode the case's reference, and count the outcome."""
    tally.inputs += 1
    try:
        async with asyncio.timeout(LIMIT_S):
            decoded = await fetcher.decode(await fetcher.fetch(case.reference))
    except IntakeError as error:
        tally.refused += 1
        tally.reasons[type(error).__name__] += 1
        expected = case.expected
        if expected.size and not expected.may_refuse:
            tally.wrong += 1
            tally.note(case.name, f"refused: {str(error)[:200]}")
        elif not re.search(expected.reason, str(error)):
            tally.wrong += 1
            tally.note(case.name, f"refused, but because {str(error)[:200]}")
    except TimeoutError:
        tally.hung += 1
        tally.note(case.name, f"no outcome after {LIMIT_S:g} s")
    except Exception as error:  # whatever it is, it would have ended a worker
        tally.crashed += 1
        tally.note(case.name, f"raised {type(error).__name__} {error}")
    else:
        tally.accepted += 1
        if problem := _difference(decoded.picture, case):
            tally.wrong += 1
            tally.note(case.name, problem)


def _difference(picture: Picture, case: Case) -> str:
    size, colour = case.expected.size, case.expected.colour
    height, width = picture.shape[:2]
    if size is None:
        return f"accepted as {width} × {height}"
    if (width, height) != size:
        return f"came out as {width} × {height}, not {size[0]} × {size[1]}"
    middle = picture[height // 2, width // 2].astype(int)
    if colour and np.abs(middle - colour).max() > COLOUR_TOLERANCE:
        return f"its colour is {middle.tolist()}, not {list(colour)}"
    return ""
