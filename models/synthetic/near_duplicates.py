"""The products of a seed, near duplicates among them.

Product i depends on the seed and i only. Every odd product is, with probability
`NEAR_DUPLICATE_SHARE`, a near duplicate of the one before it: one attribute differs, little but
visibly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.synthetic.meshes import Array, Patch
from models.synthetic.product_sampler import (
    LABEL_FORMS,
    NEAR_DUPLICATE,
    Design,
    Surface,
    rng_for,
    sample_original,
    shade,
)
from models.synthetic.shapes.registry import shape
from models.synthetic.taxonomy import COLOURS, MATERIALS, NEAR_COLOURS, PATTERNS

NEAR_DUPLICATE_SHARE = 0.5
"""Of the odd products, so that a quarter of all are near duplicates of another quarter."""
MIN_VISIBLE_CHANGE = 0.06
"""Share of the largest side by which a change of shape must move some point: 15 of 256 px."""


def sample_product(seed: int, index: int) -> Design:
    """Product `index` of `seed`."""
    if index % 2 and rng_for(seed, index, NEAR_DUPLICATE).random() < NEAR_DUPLICATE_SHARE:
        return _near_duplicate(sample_original(seed, index - 1), index)
    return sample_original(seed, index)


def visibly_different(one: Design, other: Design) -> bool:
    """Whether two products of a kind differ in shape by more than `MIN_VISIBLE_CHANGE`."""
    points, others = _normalised(shape(one)), _normalised(shape(other))
    if points.shape != others.shape:
        return True
    return bool(np.linalg.norm(points - others, axis=1).max() > MIN_VISIBLE_CHANGE)


def _near_duplicate(base: Design, index: int) -> Design:
    rng = rng_for(base.seed, index, NEAR_DUPLICATE, 1)
    changes = _changes(base)
    for number in rng.permutation(len(changes)):
        change = changes[number]
        near_duplicate = _changed(base, change, rng)
        if not change.startswith(("size", "style")) or visibly_different(base, near_duplicate):
            return replace(
                near_duplicate, index=index, near_duplicate_of=base.index, changed=change
            )
    raise AssertionError(f"{base.kind_name} has no attribute that could change")


def _changes(base: Design) -> list[str]:
    """The attributes that may differ; the more probable ones are listed more than once."""
    changes = [f"size: {name}" for name, _ in base.sizes]
    changes += ["style"] * min(2, len(base.kind.styles) - 1)
    if len(MATERIALS[base.main.material].tones) != 1:
        changes += ["colour"] * 2
    if base.main.pattern != "plain":
        changes += ["pattern", "pattern", "pattern colour"]
    if base.label is not None:
        changes += ["label"] * 2
    # A glass has no second surface that is always visible.
    if len(MATERIALS[base.accent.material].tones) != 1 and base.kind_name != "glass":
        changes.append("accent colour")
    return changes


def _changed(  # noqa: PLR0911 - a table
    base: Design, change: str, rng: np.random.Generator
) -> Design:
    """The product with one attribute changed a little."""
    main = base.main
    match change:
        case "style":
            return replace(base, style=_other_than(rng, base.kind.styles, base.style))
        case "label" if base.label is not None:
            form = _other_than(rng, LABEL_FORMS, base.label.form)
            return replace(base, label=replace(base.label, form=form))
        case "pattern":
            return replace(
                base, main=replace(main, pattern=_other_than(rng, PATTERNS[1:], main.pattern))
            )
        case "pattern colour":
            second = NEAR_COLOURS[main.second]
            rgb = shade(rng, COLOURS[second])
            return replace(base, main=replace(main, second=second, second_rgb=rgb))
        case "accent colour":
            return replace(base, accent=_neighbouring_tone(rng, base.accent))
        case "colour":
            return replace(base, main=_neighbouring_tone(rng, main))
    name = change.removeprefix("size: ")
    low, high = base.kind.sizes[name]
    step = (high - low) * float(rng.uniform(0.35, 0.5))
    value = base.size(name)
    changed = value + step if value + step <= high else value - step
    sizes = tuple((key, changed if key == name else old) for key, old in base.sizes)
    return replace(base, sizes=sizes)


def _neighbouring_tone(rng: np.random.Generator, surface: Surface) -> Surface:
    """The surface in a neighbouring colour, or in another tone of its material."""
    tones = [tone for tone in MATERIALS[surface.material].tones if tone[0] != surface.colour]
    if tones:
        colour, rgb = tones[rng.integers(len(tones))]
    else:
        colour = NEAR_COLOURS[surface.colour]
        rgb = COLOURS[colour]
    return replace(surface, colour=colour, rgb=shade(rng, rgb))


def _other_than(rng: np.random.Generator, names: Sequence[str], excluded: str) -> str:
    others = [name for name in names if name != excluded]
    return others[rng.integers(len(others))]


def _normalised(patches: list[Patch]) -> Array:
    """All points (n, 3), standing over the origin, the largest side 1."""
    points = np.concatenate([patch.points.reshape(-1, 3) for patch in patches])
    low, high = points.min(axis=0), points.max(axis=0)
    foot = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    normalised: Array = (points - foot) / (high - low).max()
    return normalised
