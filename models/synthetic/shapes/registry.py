"""The shape of a product: its kind's builder, chosen by name.

A builder takes a design and gives patches that stand on z = 0 with their front towards −y.
"""

from __future__ import annotations

from collections.abc import Callable

from models.synthetic import (
    shapes_carrying,
    shapes_cooking,
    shapes_drinking,
    shapes_furniture,
    shapes_wearing,
)
from models.synthetic.meshes import Patch
from models.synthetic.product_sampler import Design

BUILDERS: dict[str, Callable[[Design], list[Patch]]] = {
    "mug": shapes_drinking.mug,
    "bottle": shapes_drinking.bottle,
    "glass": shapes_drinking.glass,
    "can": shapes_drinking.can,
    "chair": shapes_furniture.chair,
    "stool": shapes_furniture.stool,
    "table": shapes_furniture.table,
    "lamp": shapes_furniture.lamp,
    "handbag": shapes_carrying.handbag,
    "backpack": shapes_carrying.backpack,
    "shoe": shapes_wearing.shoe,
    "hat": shapes_wearing.hat,
    "watch": shapes_wearing.watch,
    "pan": shapes_cooking.pan,
    "pot": shapes_cooking.pot,
    "kettle": shapes_cooking.kettle,
    "bowl": shapes_cooking.bowl,
}


def shape(design: Design) -> list[Patch]:
    """The patches of a product."""
    return BUILDERS[design.kind_name](design)
