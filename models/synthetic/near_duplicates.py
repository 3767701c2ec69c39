"""Every product of a seed, near twins among them.

Product i of a seed depends on nothing but the two. Every odd product is, with probability
`NEAR_DUPLICATE_SHARE`, the near twin of the one before it: the same but for one attribute changed a
little, yet enough to be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.synthetic.meshes import Array, Patch
from models.synthetic.product_sampler import (
    LABEL_FORMS,
    TWIN,
    Design,
    Surface,
    original,
    shade,
    stream,
)
from models.synthetic.shapes.registry import shape
from models.synthetic.taxonomy import COLOURS, MATERIALS, NEAR_COLOURS, PATTERNS

NEAR_DUPLICATE_SHARE = 0.5
"""Of the odd products, so that a quarter of all are twins of another quarter."""
SEEN = 0.06
"""A change of shape moves some point by this share of the largest side, or it is none: 15 px."""


def design(seed: int, index: int) -> Design:
    """Product `index` of `seed`."""
    if index % 2 and stream(seed, index, TWIN).random() < NEAR_DUPLICATE_SHARE:
        return _near_duplicate(original(seed, index - 1), index)
    return original(seed, index)


def visibly_other(one: Design, other: Design) -> bool:
    """Whether two products of a kind differ in shape by more than `SEEN`."""
    points, others = _unit(shape(one)), _unit(shape(other))
    if points.shape != others.shape:
        return True
    return bool(np.linalg.norm(points - others, axis=1).max() > SEEN)


def _near_duplicate(base: Design, index: int) -> Design:
    rng = stream(base.seed, index, TWIN, 1)
    changes = _changes(base)
    for number in rng.permutation(len(changes)):
        change = changes[number]
        twin = _changed(base, change, rng)
        if not change.startswith(("size", "style")) or visibly_other(base, twin):
            return replace(twin, index=index, near_duplicate_of=base.index, changed=change)
    raise AssertionError(f"{base.kind_name} has no attribute that could change")


def _changes(base: Design) -> list[str]:
    """What may differ in a twin, likelier things more often."""
    changes = [f"size: {name}" for name, _ in base.sizes]
    changes += ["style"] * min(2, len(base.kind.styles) - 1)
    if len(MATERIALS[base.main.material].tones) != 1:
        changes += ["colour"] * 2
    if base.main.pattern != "plain":
        changes += ["pattern", "pattern", "pattern colour"]
    if base.label is not None:
        changes += ["label"] * 2
    # A glass has no second surface that is always seen.
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
            return replace(base, style=_another(rng, base.kind.styles, base.style))
        case "label" if base.label is not None:
            form = _another(rng, LABEL_FORMS, base.label.form)
            return replace(base, label=replace(base.label, form=form))
        case "pattern":
            return replace(
                base, main=replace(main, pattern=_another(rng, PATTERNS[1:], main.pattern))
            )
        case "pattern colour":
            second = NEAR_COLOURS[main.second]
            rgb = shade(rng, COLOURS[second])
            return replace(base, main=replace(main, second=second, second_rgb=rgb))
        case "accent colour":
            return replace(base, accent=_near(rng, base.accent))
        case "colour":
            return replace(base, main=_near(rng, main))
    name = change.removeprefix("size: ")
    low, high = base.kind.sizes[name]
    step = (high - low) * float(rng.uniform(0.35, 0.5))
    value = base.size(name)
    moved = value + step if value + step <= high else value - step
    sizes = tuple((key, moved if key == name else old) for key, old in base.sizes)
    return replace(base, sizes=sizes)


def _near(rng: np.random.Generator, surface: Surface) -> Surface:
    """The surface in a neighbouring colour, or in another tone of its material."""
    tones = [tone for tone in MATERIALS[surface.material].tones if tone[0] != surface.colour]
    if tones:
        colour, rgb = tones[rng.integers(len(tones))]
    else:
        colour = NEAR_COLOURS[surface.colour]
        rgb = COLOURS[colour]
    return replace(surface, colour=colour, rgb=shade(rng, rgb))


def _another(rng: np.random.Generator, names: Sequence[str], but: str) -> str:
    others = [name for name in names if name != but]
    return others[rng.integers(len(others))]


def _unit(patches: list[Patch]) -> Array:
    points = np.concatenate([patch.points.reshape(-1, 3) for patch in patches])
    low, high = points.min(axis=0), points.max(axis=0)
    foot = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    standing: Array = (points - foot) / (high - low).max()
    return standing
