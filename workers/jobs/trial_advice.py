"""What a trial of an encoder advises, in a sentence or two."""

from __future__ import annotations

from dataclasses import dataclass

from models.evaluation.paired import Outcome, Paired
from models.hub.names import plain_name, variant_of
from models.hub.presets import PRESETS
from workers.jobs.try_encoder import BY_PHOTOS, BY_PICTURES, BY_VIEWS, OF_KINDS, Trial

DECIDING = (BY_PHOTOS, BY_PICTURES, BY_VIEWS)
"""The first that has enough queries decides: what shoppers do counts for more than what is made
up."""

MIN_QUERIES = 50
"""Fewer queries decide nothing."""

VARIANT_LOSS = 0.005
"""Share of queries that a quicker variant of the network may lose."""

VARIANT_TIME = 0.8
"""Of the time of the network as it is that it may take, so that it is worth an index of its own."""

SAID = {
    BY_PHOTOS: "photos find what they show",
    BY_PICTURES: "pictures find their product by its other pictures",
    BY_VIEWS: "views find their product",
    OF_KINDS: "items find others of their category",
}


@dataclass(frozen=True)
class Advice:
    """Whether to change the encoder, and why."""

    use: bool
    text: str


def advise(trial: Trial, present: str, candidate: str) -> Advice:
    """Weigh a trial.

    Args:
        trial: what was measured.
        present, candidate: what `models.backbone` calls the encoders.
    """
    exams = {name: one for name, one in trial.exams.items() if one.queries >= MIN_QUERIES}
    deciding = next((name for name in DECIDING if name in exams), None)
    if deciding is None:
        return Advice(
            False,
            f"Keep {present}: the sample has too few queries to tell ({MIN_QUERIES} are needed).",
        )
    one, cost = exams[deciding], trial.candidate_ms / trial.present_ms
    figures = f"{SAID[deciding]} {_figures(one)}"
    if plain_name(candidate) == present and str(variant_of(candidate)):
        return _of_variant(one, cost, figures, present, candidate)
    if one.outcome is Outcome.EQUAL:
        return Advice(
            False, f"Keep {present}: {candidate} makes no difference beyond chance ({figures})."
        )
    if one.outcome is Outcome.WORSE:
        return Advice(False, f"Keep {present}: {candidate} is worse here ({figures}).")
    losses = [
        f"{SAID[name]} {_figures(other)}"
        for name, other in exams.items()
        if other.outcome is Outcome.WORSE
    ]
    preset = PRESETS.get(plain_name(candidate))
    parts = [
        f"Use {candidate}: {figures}.",
        f"But {'; '.join(losses)}." if losses else "",
        f"A picture takes {cost:.1f} times as long.",
        f"Its licence is {preset.licence}: {preset.note}." if preset and preset.note else "",
        f"To change: `lookstream reindex --backbone {candidate}`, which encodes all pictures anew.",
    ]
    return Advice(True, " ".join(filter(None, parts)))


def _of_variant(one: Paired, cost: float, figures: str, present: str, candidate: str) -> Advice:
    """A variant has to be quicker, and must not lose more than `VARIANT_LOSS`."""
    if one.difference < -VARIANT_LOSS:
        return Advice(False, f"Keep {present}: {candidate} loses too much ({figures}).")
    if cost > VARIANT_TIME:
        return Advice(
            False, f"Keep {present}: {candidate} takes {cost:.2f} of its time, which is no gain."
        )
    return Advice(
        True,
        f"Use {candidate}: {figures}, in {cost:.2f} of the time. To change: `lookstream reindex "
        f"--backbone {candidate}`, which encodes all pictures anew.",
    )


def _figures(one: Paired) -> str:
    return (
        f"in {one.second:.1%} in place of {one.first:.1%}, {one.difference:+.1%} ± {one.error:.1%}"
    )
