"""The shape of a product, by the builder of its kind.

A builder takes a design and returns patches that stand on z = 0 with their front towards −y.
"""

from __future__ import annotations

from collections.abc import Callable

from models.synthetic.meshes import Patch
from models.synthetic.product_sampler import Design
from models.synthetic.shapes import carrying, cooking, drinking, furniture, wearing

BUILDERS: dict[str, Callable[[Design], list[Patch]]] = {
    "mug": drinking.mug,
    "bottle": drinking.bottle,
    "glass": drinking.glass,
    "can": drinking.can,
    "chair": furniture.chair,
    "stool": furniture.stool,
    "table": furniture.table,
    "lamp": furniture.lamp,
    "handbag": carrying.handbag,
    "backpack": carrying.backpack,
    "shoe": wearing.shoe,
    "hat": wearing.hat,
    "watch": wearing.watch,
    "pan": cooking.pan,
    "pot": cooking.pot,
    "kettle": cooking.kettle,
    "bowl": cooking.bowl,
}


def shape(design: Design) -> list[Patch]:
    """The patches of a product."""
    return BUILDERS[design.kind_name](design)
