"""The categories of synthetic products, and what varies within each.

Every size of a shape has a range, every choice a list; a product is one draw from them
(`product_sampler`). Texts are made from the same entries, so that they never contradict pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True)
class Kind:
    """One leaf category.

    Attributes:
        name: the leaf of the category path, a word that shoppers use.
        parent: in the category path.
        sizes: continuous parameters of the shape, each with its range.
        styles: named variants of the shape.
        materials: of the main surface.
        accents: materials of the second surface.
        patterns: whether the main surface may have a pattern.
        labels: whether it may have a brand label.
        price: range in euros.
        azimuth: of the packshot, in degrees.
        elevation: of the packshot, in degrees.
        plural: of the name.
        synonyms: other words that shoppers use.
    """

    name: str
    parent: str
    sizes: dict[str, Range]
    styles: tuple[str, ...]
    materials: tuple[str, ...]
    accents: tuple[str, ...]
    patterns: bool
    labels: bool
    price: Range
    azimuth: float
    elevation: float
    plural: str
    synonyms: tuple[str, ...]

    @property
    def category(self) -> tuple[str, str]:
        """Its path: parent, then name."""
        return (self.parent, self.name)


DRINKING, FURNITURE, WEARING, COOKING = "Drinkware", "Furniture", "Wear and carry", "Kitchen"

KINDS: tuple[Kind, ...] = (
    Kind(
        "mug", DRINKING,
        {"height": (0.85, 1.35), "taper": (-0.16, 0.2), "belly": (-0.08, 0.14),
         "handle": (0.55, 0.9), "thick": (0.06, 0.1)},
        ("round handle", "square handle", "ear handle"),
        ("ceramic", "enamel", "plastic"), ("ceramic", "steel"), True, True,
        (6, 29), 24, 22, "mugs", ("cup", "coffee mug", "tea mug"),
    ),
    Kind(
        "bottle", DRINKING,
        {"height": (2.3, 3.4), "neck": (0.2, 0.42), "shoulder": (0.55, 0.8), "cap": (0.16, 0.34),
         "waist": (0.0, 0.12)},
        ("wine", "sports", "milk", "flask"),
        ("glass", "plastic", "steel", "ceramic"), ("plastic", "steel", "wood"), True, True,
        (8, 39), 12, 10, "bottles", ("water bottle", "drinking bottle"),
    ),
    Kind(
        "glass", DRINKING,
        {"height": (1.7, 2.6), "bowl": (0.4, 0.62), "mouth": (0.55, 1.0), "stem": (0.05, 0.09),
         "foot": (0.75, 1.1)},
        ("tulip", "flute", "coupe", "balloon"),
        ("glass",), ("glass",), False, False,
        (5, 32), 10, 14, "glasses", ("wine glass", "stemware", "goblet"),
    ),
    Kind(
        "can", DRINKING,
        {"height": (1.6, 3.0), "neck": (0.72, 0.86), "shoulder": (0.06, 0.16)},
        ("soda", "beer", "energy"),
        ("painted metal",), ("steel",), True, True,
        (1, 4), 14, 18, "cans", ("drink can", "tin"),
    ),
    Kind(
        "chair", FURNITURE,
        {"height": (1.75, 2.5), "width": (0.85, 1.15), "depth": (0.8, 1.05), "splay": (0.0, 0.16),
         "leg": (0.035, 0.07), "lean": (4.0, 14.0), "seat": (0.06, 0.16)},
        ("solid back", "slat back", "spindle back", "armchair"),
        ("wood", "plastic", "painted metal", "fabric", "leather"), ("wood", "steel"), True, False,
        (35, 320), 32, 16, "chairs", ("dining chair", "seat"),
    ),
    Kind(
        "stool", FURNITURE,
        {"height": (0.9, 2.1), "width": (0.75, 1.05), "splay": (0.02, 0.22), "leg": (0.035, 0.075),
         "seat": (0.07, 0.24), "ring": (0.2, 0.5)},
        ("round three-legged", "round four-legged", "square four-legged"),
        ("wood", "plastic", "leather", "fabric"), ("wood", "steel"), True, False,
        (18, 140), 28, 20, "stools", ("bar stool", "footstool"),
    ),
    Kind(
        "table", FURNITURE,
        {"height": (0.75, 1.3), "width": (1.4, 2.4), "depth": (0.7, 1.0), "top": (0.05, 0.13),
         "leg": (0.04, 0.085), "splay": (0.0, 0.14)},
        ("round pedestal", "round four-legged", "rectangular", "trestle"),
        ("wood", "marble", "plastic", "glass"), ("wood", "steel", "painted metal"), False, False,
        (60, 690), 30, 20, "tables", ("side table", "coffee table", "desk"),
    ),
    Kind(
        "lamp", FURNITURE,
        {"height": (1.5, 2.5), "shade": (0.5, 0.85), "taper": (0.4, 0.95), "drop": (0.45, 0.8),
         "foot": (0.3, 0.5), "belly": (0.12, 0.36)},
        ("stick", "gourd", "ball", "tripod"),
        ("fabric", "paper", "painted metal"), ("ceramic", "brass", "wood", "steel"), True, False,
        (20, 210), 20, 8, "lamps", ("table lamp", "desk lamp", "light"),
    ),
    Kind(
        "handbag", WEARING,
        {"width": (1.2, 1.9), "height": (0.8, 1.25), "depth": (0.35, 0.65), "taper": (0.7, 1.0),
         "handle": (0.4, 0.85), "flap": (0.35, 0.7)},
        ("tote", "flap bag", "bowling bag"),
        ("leather", "fabric", "suede"), ("leather", "brass"), True, True,
        (25, 390), 24, 14, "handbags", ("purse", "hand bag", "shoulder bag"),
    ),
    Kind(
        "backpack", WEARING,
        {"width": (1.0, 1.35), "height": (1.35, 1.9), "depth": (0.5, 0.75), "top": (0.65, 0.95),
         "pocket": (0.35, 0.55)},
        ("zip", "roll top", "flap"),
        ("fabric", "leather", "nylon"), ("leather", "fabric", "nylon"), True, True,
        (25, 230), 26, 14, "backpacks", ("rucksack", "back pack", "school bag"),
    ),
    Kind(
        "shoe", WEARING,
        {"length": (2.3, 2.9), "width": (0.8, 0.98), "ankle": (0.72, 0.98), "sole": (0.1, 0.24),
         "toe": (0.34, 0.48), "heel": (0.0, 0.22)},
        ("sneaker", "boot", "loafer", "high-top"),
        ("leather", "fabric", "suede"), ("rubber", "leather"), True, True,
        (30, 260), 24, 20, "shoes", ("trainers", "footwear", "sneakers"),
    ),
    Kind(
        "hat", WEARING,
        {"crown": (0.55, 0.95), "brim": (0.3, 0.85), "curl": (-0.1, 0.3), "top": (0.6, 0.95),
         "band": (0.1, 0.26), "long": (1.05, 1.3)},
        ("fedora", "bowler", "sun hat", "cap", "top hat"),
        ("fabric", "felt", "straw", "leather"), ("fabric", "leather"), True, False,
        (12, 120), 28, 20, "hats", ("headwear", "cap"),
    ),
    Kind(
        "watch", WEARING,
        {"case": (0.5, 0.68), "strap": (0.3, 0.46), "thick": (0.12, 0.24), "bezel": (0.05, 0.14),
         "loop": (1.5, 2.0)},
        ("round", "square", "diver", "dress"),
        ("leather", "steel", "rubber", "fabric"), ("steel", "brass"), False, True,
        (29, 890), 24, 20, "watches", ("wristwatch", "wrist watch"),
    ),
    Kind(
        "pan", COOKING,
        {"depth": (0.22, 0.5), "flare": (0.78, 0.95), "handle": (1.2, 1.9), "grip": (0.09, 0.15),
         "rise": (0.1, 0.5)},
        ("frying", "saute", "wok"),
        ("cast iron", "steel", "enamel", "copper"), ("wood", "steel", "plastic"), False, False,
        (15, 160), -38, 30, "pans", ("frying pan", "skillet"),
    ),
    Kind(
        "pot", COOKING,
        {"height": (0.7, 1.35), "taper": (0.88, 1.1), "lid": (0.08, 0.3), "knob": (0.1, 0.18),
         "grip": (0.06, 0.11)},
        ("loop handles", "side grips", "long handle"),
        ("steel", "enamel", "cast iron", "copper"), ("steel", "plastic", "brass"), True, False,
        (20, 240), 18, 22, "pots", ("cooking pot", "stock pot", "casserole"),
    ),
    Kind(
        "kettle", COOKING,
        {"height": (0.95, 1.45), "belly": (0.9, 1.2), "top": (0.4, 0.65), "spout": (0.5, 0.85),
         "arch": (0.5, 0.85), "knob": (0.09, 0.15)},
        ("stovetop", "teapot", "gooseneck"),
        ("steel", "enamel", "ceramic", "copper"), ("wood", "plastic", "brass", "steel"),
        True, False,
        (18, 130), 12, 16, "kettles", ("tea kettle", "teapot", "water kettle"),
    ),
    Kind(
        "bowl", COOKING,
        {"height": (0.5, 0.95), "foot": (0.35, 0.6), "curve": (0.7, 1.15), "thick": (0.05, 0.1),
         "lip": (0.0, 0.16)},
        ("footed", "rimmed", "deep"),
        ("ceramic", "wood", "enamel", "glass", "steel"), ("ceramic", "wood"), True, False,
        (5, 60), 0, 26, "bowls", ("salad bowl", "cereal bowl", "dish"),
    ),
)  # fmt: skip
"""All kinds; each has the same probability."""

BY_NAME = {kind.name: kind for kind in KINDS}

PATTERNS = ("plain", "stripes", "bands", "dots", "checks", "chevrons", "waves", "flowers", "leaves",
            "triangles")  # fmt: skip

COLOURS: dict[str, tuple[int, int, int]] = {
    "white": (240, 240, 236), "cream": (236, 224, 196), "beige": (209, 184, 149),
    "grey": (135, 138, 142), "charcoal": (62, 64, 69), "black": (28, 28, 31),
    "red": (196, 32, 38), "crimson": (148, 16, 48), "coral": (236, 104, 86),
    "pink": (238, 150, 176), "magenta": (190, 36, 120), "plum": (104, 38, 92),
    "purple": (110, 64, 160), "lavender": (172, 156, 214), "navy": (28, 40, 88),
    "blue": (34, 84, 184), "sky blue": (116, 178, 226), "teal": (18, 122, 128),
    "turquoise": (52, 188, 184), "mint": (160, 216, 184), "green": (40, 132, 62),
    "olive": (112, 116, 44), "lime": (160, 200, 48), "yellow": (242, 200, 40),
    "mustard": (204, 156, 36), "orange": (234, 120, 28), "rust": (168, 76, 32),
    "brown": (108, 68, 40),
}  # fmt: skip
"""Names and sRGB values of paints and dyes."""

NEAR_COLOURS: dict[str, str] = {
    "white": "cream", "cream": "beige", "beige": "cream", "grey": "charcoal", "charcoal": "black",
    "black": "charcoal", "red": "crimson", "crimson": "red", "coral": "pink", "pink": "coral",
    "magenta": "plum", "plum": "purple", "purple": "plum", "lavender": "sky blue", "navy": "blue",
    "blue": "navy", "sky blue": "turquoise", "teal": "turquoise", "turquoise": "teal",
    "mint": "turquoise", "green": "olive", "olive": "green", "lime": "yellow", "yellow": "mustard",
    "mustard": "yellow", "orange": "rust", "rust": "brown", "brown": "rust",
}  # fmt: skip
"""The colour of a near duplicate."""


@dataclass(frozen=True)
class Material:
    """How a material reflects. `tones` are its own colours, empty if it is painted or dyed.

    Attributes:
        roughness: 0 mirror .. 1 chalk.
        metallic: 0..1.
        opacity: 0..1.
        grain: the fine texture under the pattern.
    """

    roughness: float
    metallic: float = 0.0
    opacity: float = 1.0
    grain: str = "none"
    tones: tuple[tuple[str, tuple[int, int, int]], ...] = ()


WOODS = (("oak", (196, 152, 100)), ("walnut", (104, 70, 46)), ("birch", (224, 196, 156)),
         ("cherry", (156, 84, 52)), ("ebony", (54, 42, 38)))  # fmt: skip
MATERIALS: dict[str, Material] = {
    "ceramic": Material(0.25),
    "enamel": Material(0.2),
    "plastic": Material(0.4),
    "painted metal": Material(0.35, 0.25),
    "glass": Material(0.08, 0.0, 0.34),
    "steel": Material(0.28, 0.85, tones=(("steel", (196, 198, 202)),
                                         ("dark steel", (120, 122, 128)))),
    "brass": Material(0.3, 0.85, tones=(("brass", (214, 172, 92)),)),
    "copper": Material(0.3, 0.85, tones=(("copper", (206, 124, 84)),)),
    "cast iron": Material(0.6, 0.3, grain="speckle", tones=(("iron black", (44, 44, 47)),)),
    "wood": Material(0.6, grain="wood", tones=WOODS),
    "marble": Material(0.2, grain="marble", tones=(("white marble", (226, 226, 228)),
                                                   ("green marble", (58, 88, 74)),
                                                   ("black marble", (52, 52, 56)))),
    "leather": Material(0.5, grain="leather"),
    "suede": Material(0.9, grain="speckle"),
    "fabric": Material(0.95, grain="weave"),
    "nylon": Material(0.6, grain="weave"),
    "felt": Material(0.95, grain="speckle"),
    "straw": Material(0.85, grain="straw", tones=(("natural straw", (218, 188, 128)),
                                                  ("brown straw", (160, 116, 70)))),
    "paper": Material(0.9),
    "rubber": Material(0.7),
}  # fmt: skip
