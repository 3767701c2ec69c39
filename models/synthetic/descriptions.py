"""The texts of a product: title, caption, description, attributes, price, queries.

All are made from the parameters that its pictures are made from. Queries are noisy: typos, plural
for singular, abbreviations, words left out (Pailitao-VL §1, queries).
"""

from __future__ import annotations

import random

from models.catalog.typos import mistype
from models.synthetic.product_sampler import TEXT, Design, Surface, rng_for

PATTERN_WORDS = {
    "stripes": "striped",
    "bands": "banded",
    "dots": "dotted",
    "checks": "checked",
    "chevrons": "chevron",
    "waves": "wavy",
    "flowers": "floral",
    "leaves": "leaf-print",
    "triangles": "triangle-print",
}
UNIT_CM = {
    "mug": 9,
    "bottle": 8,
    "glass": 9,
    "can": 6,
    "chair": 42,
    "stool": 40,
    "table": 62,
    "lamp": 25,
    "handbag": 22,
    "backpack": 27,
    "shoe": 11,
    "hat": 18,
    "watch": 3.4,
    "pan": 14,
    "pot": 15,
    "kettle": 14,
    "bowl": 12,
}
"""Centimetres of one unit of a shape."""
ABBREVIATIONS = {
    "black": "blk",
    "white": "wht",
    "brown": "brn",
    "leather": "lthr",
    "stainless": "ss",
    "ceramic": "ceram",
    "bottle": "btl",
    "backpack": "bckpk",
    "with": "w/",
    "steel": "stl",
    "plastic": "plstc",
    "orange": "orng",
    "green": "grn",
    "yellow": "ylw",
    "purple": "purp",
}


def surface_phrase(surface: Surface) -> str:
    """Colour, pattern and material of a surface: "navy striped ceramic"."""
    pattern = PATTERN_WORDS.get(surface.pattern, "")
    # The colours of copper, brass and steel have the material's name: not "steel steel".
    material = "" if surface.material in surface.colour else surface.material
    return " ".join(word for word in (surface.colour, pattern, material) if word)


def type_phrase(product: Design) -> str:
    """Style and kind as one name: "frying pan", "boot", "mug with round handle"."""
    style, kind = product.style, product.kind_name
    if kind == "watch" and style == "diver":
        return "diver's watch"
    if "handle" in style or "back" in style or "grips" in style:
        return f"{kind} with {style}"
    if style in {
        "armchair",
        "boot",
        "loafer",
        "sneaker",
        "teapot",
        "fedora",
        "cap",
        "wok",
        "tote",
        "flap bag",
        "bowling bag",
        "sun hat",
        "top hat",
        "high-top",
    }:
        return style
    if kind == "hat":
        return f"{style} hat"
    return f"{style} {kind}"


def title(product: Design) -> str:
    """Brand, line, surface and type."""
    return f"{product.brand} {product.line} {surface_phrase(product.main)} {type_phrase(product)}"


def caption(product: Design) -> str:
    """One sentence on what the picture shows."""
    main, accent = surface_phrase(product.main), surface_phrase(product.accent)
    return f"A {main} {type_phrase(product)} and {accent} details."


def description(product: Design) -> str:
    """Sentences on type, materials, pattern, label and size."""
    parts = [caption(product)]
    if product.main.pattern != "plain":
        parts.append(f"Pattern: {product.main.pattern} in {product.main.second}.")
    if product.label is not None:
        parts.append(f"{product.brand} printed as {product.label.form}, {product.label.colour}.")
    measures = ", ".join(
        f"{name} {value:g} cm" for name, value in list(lengths_cm(product).items())[:2]
    )
    parts.append(f"{measures[:1].upper()}{measures[1:]}.")
    return " ".join(parts)


def lengths_cm(product: Design) -> dict[str, float]:
    """The sizes of the shape that are lengths, in centimetres."""
    lengths = {"height", "width", "depth", "length", "crown", "brim", "case", "strap", "handle"}
    unit = UNIT_CM[product.kind_name]
    return {name: round(value * unit, 1) for name, value in product.sizes if name in lengths}


def price(product: Design) -> float:
    """In euros; a near duplicate costs the same."""
    base = product.index if product.near_duplicate_of is None else product.near_duplicate_of
    low, high = product.kind.price
    share = rng_for(product.seed, base, TEXT).random()
    return round(float(low * (high / low) ** share), 2)


def attributes(product: Design) -> dict[str, str | int | float | bool]:
    """The attributes in products.jsonl, and what a near duplicate changed."""
    found: dict[str, str | int | float | bool] = {
        "brand": product.brand,
        "colour": product.main.colour,
        "material": product.main.material,
        "pattern": product.main.pattern,
        "accent_colour": product.accent.colour,
        "accent_material": product.accent.material,
        "style": product.style,
        **{f"{name}_cm": value for name, value in lengths_cm(product).items()},
    }
    if product.label is not None:
        found["label"] = product.label.form
    if product.near_duplicate_of is not None and product.changed is not None:
        found["changed"] = product.changed
    return found


def query(product: Design, number: int) -> str | None:
    """The query text of photo `number`; None for one in six."""
    rng = rng_for(product.seed, product.index, TEXT, number + 1)
    if rng.random() < 1 / 6:
        return None
    name = product.kind_name
    if rng.random() < 0.35:
        name = product.kind.synonyms[rng.integers(len(product.kind.synonyms))]
    elif rng.random() < 0.3:
        name = type_phrase(product)
    elif rng.random() < 0.25:
        name = product.kind.plural
    parts = [
        word
        for word, chance in (
            (product.brand, 0.25),
            (product.main.colour, 0.65),
            (PATTERN_WORDS.get(product.main.pattern, ""), 0.5),
            (product.main.material, 0.4),
        )
        if word and rng.random() < chance
    ]
    words = " ".join([*parts, name]).split()
    if rng.random() < 0.25:
        words = [ABBREVIATIONS.get(word.lower(), word) for word in words]
    text = " ".join(words)
    if rng.random() < 0.4:
        text = mistype(text, random.Random(int(rng.integers(2**32))))
    return text if rng.random() < 0.25 else text.lower()
