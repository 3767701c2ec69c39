"""What is said about a product: title, description, caption, attributes, price, shoppers' words.

Everything comes from the same parameters as the pictures. Shoppers' words are noisy on purpose:
typos, plural for singular, abbreviations, words left out (Pailitao-VL §1, queries).
"""

from __future__ import annotations

import random

from models.catalog.typos import mistype
from models.synthetic.product_sampler import WORDS, Design, Surface, stream

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
CENTIMETRES = {
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
"""Of one unit of a shape."""
SHORT = {
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


def look(surface: Surface) -> str:
    """Colour, pattern and material of a surface: "navy striped ceramic"."""
    pattern = PATTERN_WORDS.get(surface.pattern, "")
    # Copper says its colour itself; "steel steel" would be odd.
    material = "" if surface.material in surface.colour else surface.material
    return " ".join(word for word in (surface.colour, pattern, material) if word)


def thing(made: Design) -> str:
    """Style and kind as one name: "frying pan", "boot", "mug with round handle"."""
    style, kind = made.style, made.kind_name
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


def title(made: Design) -> str:
    """As a shop would title it."""
    return f"{made.brand} {made.line} {look(made.main)} {thing(made)}"


def caption(made: Design) -> str:
    """What the picture shows, in one sentence."""
    return f"A {look(made.main)} {thing(made)} and {look(made.accent)} details."


def description(made: Design) -> str:
    """Two or three sentences: what it is, what it is made of, how large it is, its pattern."""
    parts = [caption(made)]
    if made.main.pattern != "plain":
        parts.append(f"Pattern: {made.main.pattern} in {made.main.second}.")
    if made.label is not None:
        parts.append(f"{made.brand} printed as {made.label.form}, {made.label.colour}.")
    measures = ", ".join(f"{name} {value:g} cm" for name, value in list(measured(made).items())[:2])
    parts.append(f"{measures[:1].upper()}{measures[1:]}.")
    return " ".join(parts)


def measured(made: Design) -> dict[str, float]:
    """Those measures of the shape that are lengths, in centimetres."""
    lengths = {"height", "width", "depth", "length", "crown", "brim", "case", "strap", "handle"}
    unit = CENTIMETRES[made.kind_name]
    return {name: round(value * unit, 1) for name, value in made.sizes if name in lengths}


def price(made: Design) -> float:
    """In euros, the same for the same product; twins cost the same."""
    base = made.index if made.near_duplicate_of is None else made.near_duplicate_of
    low, high = made.kind.price
    share = stream(made.seed, base, WORDS).random()
    return round(float(low * (high / low) ** share), 2)


def attributes(made: Design) -> dict[str, str | int | float | bool]:
    """For products.jsonl: what filters would use, and who is whose twin."""
    found: dict[str, str | int | float | bool] = {
        "brand": made.brand,
        "colour": made.main.colour,
        "material": made.main.material,
        "pattern": made.main.pattern,
        "accent_colour": made.accent.colour,
        "accent_material": made.accent.material,
        "style": made.style,
        **{f"{name}_cm": value for name, value in measured(made).items()},
    }
    if made.label is not None:
        found["label"] = made.label.form
    if made.near_duplicate_of is not None and made.changed is not None:
        found["changed"] = made.changed
    return found


def query(made: Design, number: int) -> str | None:
    """What the shopper of photo `number` typed beside it; None for one in six."""
    rng = stream(made.seed, made.index, WORDS, number + 1)
    if rng.random() < 1 / 6:
        return None
    name = made.kind_name
    if rng.random() < 0.35:
        name = made.kind.also[rng.integers(len(made.kind.also))]
    elif rng.random() < 0.3:
        name = thing(made)
    elif rng.random() < 0.25:
        name = made.kind.plural
    said = [
        word
        for word, chance in (
            (made.brand, 0.25),
            (made.main.colour, 0.65),
            (PATTERN_WORDS.get(made.main.pattern, ""), 0.5),
            (made.main.material, 0.4),
        )
        if word and rng.random() < chance
    ]
    words = " ".join([*said, name]).split()
    if rng.random() < 0.25:
        words = [SHORT.get(word.lower(), word) for word in words]
    text = " ".join(words)
    if rng.random() < 0.4:
        text = mistype(text, random.Random(int(rng.integers(2**32))))
    return text if rng.random() < 0.25 else text.lower()
