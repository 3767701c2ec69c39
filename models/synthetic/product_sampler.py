"""Random products: the parameters that pictures and texts are made from.

`sample_original` draws one; `near_duplicates.sample_product` gives the products of a catalog.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from models.synthetic.taxonomy import (
    BY_NAME,
    COLOURS,
    KINDS,
    MATERIALS,
    PATTERNS,
    Kind,
)

RGB = tuple[int, int, int]

# Each use of random numbers has its own stream, so that leaving one out changes no other.
DESIGN, TEXTURE, NEAR_DUPLICATE, TEXT, SPLIT, PHOTO = range(6)


def rng_for(seed: int, *keys: int) -> np.random.Generator:
    """A random generator that depends on the seed and the keys only."""
    return np.random.default_rng([seed, *keys])


@dataclass(frozen=True)
class Surface:
    """A material in a colour, with a pattern in a second colour.

    Attributes:
        scale: approximate repeats of the pattern over the height of the part.
    """

    material: str
    colour: str
    rgb: RGB
    pattern: str = "plain"
    second: str = "white"
    second_rgb: RGB = (240, 240, 236)
    scale: float = 5.0


@dataclass(frozen=True)
class Label:
    """A printed label: the brand and its layout."""

    text: str
    form: str
    colour: str
    rgb: RGB
    ink: RGB


@dataclass(frozen=True)
class Design:
    """The parameters of product `index` of `seed`."""

    seed: int
    index: int
    kind_name: str
    style: str
    sizes: tuple[tuple[str, float], ...]
    main: Surface
    accent: Surface
    brand: str
    label: Label | None
    line: str
    near_duplicate_of: int | None = None
    changed: str | None = None

    @property
    def kind(self) -> Kind:
        """Its leaf category."""
        return BY_NAME[self.kind_name]

    @property
    def product_id(self) -> str:
        """Its id, which sorts by index."""
        return product_id(self.seed, self.index)

    def size(self, name: str) -> float:
        """One size of its shape."""
        return dict(self.sizes)[name]


def product_id(seed: int, index: int) -> str:
    """The id of product `index` of `seed`."""
    return f"studio-{seed}-{index:06d}"


def sample_original(seed: int, index: int) -> Design:
    """Draw product `index` of `seed`, independent of others."""
    rng = rng_for(seed, index, DESIGN)
    kind = KINDS[rng.integers(len(KINDS))]
    sizes = tuple((name, float(rng.uniform(*limits))) for name, limits in kind.sizes.items())
    brand = BRANDS[rng.integers(len(BRANDS))]
    main = _surface(rng, kind.materials, patterned=kind.patterns)
    accent = _surface(rng, kind.accents, patterned=False)
    has_label = kind.labels and rng.random() < LABEL_SHARE.get(kind.name, 0.6)
    return Design(
        seed=seed,
        index=index,
        kind_name=kind.name,
        style=kind.styles[rng.integers(len(kind.styles))],
        sizes=sizes,
        main=main,
        accent=accent,
        brand=brand,
        label=_label(rng, brand, main) if has_label else None,
        line=LINES[rng.integers(len(LINES))],
    )


def _surface(rng: np.random.Generator, materials: tuple[str, ...], *, patterned: bool) -> Surface:
    material = materials[rng.integers(len(materials))]
    tones = MATERIALS[material].tones or tuple(COLOURS.items())
    colour, rgb = tones[rng.integers(len(tones))]
    pattern = "plain"
    # Patterns are printed only on materials that are painted or dyed.
    if patterned and not MATERIALS[material].tones and material != "glass" and rng.random() < 0.6:
        pattern = PATTERNS[rng.integers(1, len(PATTERNS))]
    others = [name for name in COLOURS if _far(COLOURS[name], rgb)]
    second = others[rng.integers(len(others))]
    return Surface(
        material=material,
        colour=colour,
        rgb=shade(rng, rgb),
        pattern=pattern,
        second=second,
        second_rgb=shade(rng, COLOURS[second]),
        scale=float(rng.uniform(3.0, 8.0)),
    )


def _label(rng: np.random.Generator, brand: str, under: Surface) -> Label:
    far = [name for name in COLOURS if _far(COLOURS[name], under.rgb)]
    colour = far[rng.integers(len(far))]
    rgb = COLOURS[colour]
    ink = (250, 250, 248) if sum(rgb) < 380 else (24, 24, 28)
    return Label(brand, LABEL_FORMS[rng.integers(len(LABEL_FORMS))], colour, rgb, ink)


def shade(rng: np.random.Generator, rgb: RGB) -> RGB:
    """The colour with small random shifts of hue, saturation and value."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in rgb))
    shifted = colorsys.hsv_to_rgb(
        (hue + rng.normal(0, 0.008)) % 1,
        float(np.clip(saturation * rng.normal(1, 0.07), 0, 1)),
        float(np.clip(value * rng.normal(1, 0.05), 0.08, 0.97)),
    )
    red, green, blue = (round(255 * channel) for channel in shifted)
    return red, green, blue


def _far(one: RGB, other: RGB) -> bool:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) > 180


LABEL_FORMS = ("band", "badge", "plate", "bare", "tall")
LABEL_SHARE = {"can": 1.0, "bottle": 0.75, "watch": 1.0, "mug": 0.45, "shoe": 0.5}
"""Share of labelled products of a kind that can be; .6 for others."""
BRANDS = ("Norvik", "Halden", "Aurelia", "Brisa", "Castor", "Dovre", "Elmira", "Fjordal", "Garnet",
          "Hoku", "Ilmari", "Juno", "Kestrel", "Lumo", "Mirabel", "Nimbus", "Orla", "Piko",
          "Quill", "Rondo", "Solano", "Tarn", "Umbra", "Velo", "Wexford", "Yara", "Zephyr",
          "Alba", "Bexley", "Corvo")  # fmt: skip
LINES = ("Classic", "Studio", "Coast", "Daily", "Heritage", "Urban", "Alpine", "Nova", "Prime",
         "Petit", "Atelier", "Field", "Harbour", "Mono", "Retro", "Loft")  # fmt: skip
