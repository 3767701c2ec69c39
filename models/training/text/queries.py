"""What things are called, and what is typed for them: material to fit the text side on.

Two sources, and no shop's catalog. Names and definitions of ImageNet's classes (WordNet's, which
timm carries) teach synonyms and kinds. Made-up products teach what a title tells apart: a brand
never heard of, a colour, a flavour, a size.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from models.catalog.typos import corrupt_query

SUBSET = "imagenet12k"
GOODS = re.compile("n0(2[6-9]|[34]|7)")
"""WordNet's offsets of artifacts and food; of all other things every fourth is taken."""

FOOD = "n07"
VIEWS = 2
"""Queries per thing, of which every fourth is typed right and the rest are garbled."""

TYPED_RIGHT = 0.5
"""Of the first view; the second is always garbled."""


def _listed(names: str) -> tuple[str, ...]:
    return tuple(names.split(", "))


COLOURS = _listed(
    "red, green, blue, yellow, orange, purple, pink, brown, black, white, grey, beige"
)
MATERIALS = _listed(
    "cotton, leather, wool, linen, silk, denim, wooden, steel, plastic, glass, ceramic, paper, "
    "rubber"
)
FLAVOURS = _listed(
    "vanilla, strawberry, lemon, chocolate, honey, mint, caramel, peach, cherry, natural, apple, "
    "raspberry, coconut, ginger, smoked, spicy, sweet, sour, salted, mild, organic, creamy, "
    "low fat, sugar free, gluten free, lactose free, whole grain, extra strong"
)
MAKES = _listed("small, large, mini, slim, classic, sport, kids, vintage, soft, light, portable")
SIZES = _listed("500 g, 1 l, 250 ml, 2 kg, pack of 6, XL, size 42, 30 cm, 750 ml, 100 g")
SYLLABLES = _listed(
    "ar, al, bo, bra, da, dor, el, fi, ga, gar, go, ka, kel, la, len, li, lo, ma, mi, mor, na, "
    "nor, ol, pa, pri, ra, ri, ro, sa, sen, so, ta, tel, ti, to, va, vel, vi, yo, za, zen"
)


@dataclass(frozen=True)
class Wording:
    """A thing's words, `document`; what is `typed` for it; and what was `meant` by that."""

    document: str
    typed: str
    meant: str


def wordings(seed: int = 0, products: int = 4000) -> list[Wording]:
    """Every wording, the same for a seed; two for each class and for each made-up product."""
    draw = random.Random(seed)
    classes = list(_classes())
    made = [*_of_classes(classes, draw), *_of_products(classes, products, draw)]
    return made


def _classes() -> Iterator[tuple[str, list[str], str]]:
    """Synset id, its names, its definition."""
    from timm.data.imagenet_info import ImageNetInfo  # noqa: PLC0415  fitting only

    info: Any = ImageNetInfo(SUBSET)
    for index, synset in enumerate(info.label_names()):
        if not GOODS.match(synset) and index % 4:
            continue
        names = [name.strip() for name in str(info.index_to_description(index)).split(",")]
        whole = str(info.index_to_description(index, detailed=True))
        yield synset, names, whole.partition(": ")[2]


def _of_classes(
    classes: list[tuple[str, list[str], str]], draw: random.Random
) -> Iterator[Wording]:
    for _, names, definition in classes:
        told = names if draw.random() < 0.3 else names[:1]
        document = ", ".join(told) + (f". {definition}" if draw.random() < 0.85 else "")
        for view in range(VIEWS):
            meant = draw.choice(names)
            content = [word for word in re.findall(r"[\w-]+", definition) if len(word) > 3]
            if draw.random() < 0.25 and content:
                meant = f"{draw.choice(content)} {meant}"
            elif draw.random() < 0.1 and len(content) > 3:
                start = draw.randrange(len(content) - 2)
                meant = " ".join(content[start : start + 3])
            yield Wording(document, _typed(meant, view, draw), meant)


def _of_products(
    classes: list[tuple[str, list[str], str]], count: int, draw: random.Random
) -> Iterator[Wording]:
    kinds = [one for one in classes if GOODS.match(one[0])]
    # Few kinds and brands at a time, so that many products differ in one word alone.
    for start in range(0, count, 40):
        shelf = draw.sample(kinds, 4)
        brands = [_brand(draw) for _ in range(6)]
        for _ in range(min(40, count - start)):
            yield from _product(draw.choice(shelf), draw.choice(brands), draw)


def _product(
    kind: tuple[str, list[str], str], brand: str, draw: random.Random
) -> Iterator[Wording]:
    synset, names, definition = kind
    name = names[0]
    if synset.startswith(FOOD):
        traits = draw.sample(FLAVOURS, draw.randint(1, 2))
    else:
        traits = [draw.choice(some) for some in draw.sample((COLOURS, MATERIALS, MAKES), 2)]
    size = draw.choice(SIZES) if draw.random() < 0.3 else ""
    title = " ".join(part for part in (brand, *traits, name, size) if part)
    said = (
        "",
        f". {traits[0].capitalize()} {name} from {brand}",
        f". {definition}",
        f". A {traits[-1]} {name}: {definition}",
    )
    document = title + draw.choice(said)
    for view in range(VIEWS):
        words = [word for word in (brand, *traits, size) if word and draw.random() < 0.6]
        words.append(draw.choice(names) if draw.random() < 0.85 or not words else "")
        if draw.random() < 0.3:
            draw.shuffle(words)
        meant = " ".join(word for word in words if word)
        yield Wording(document, _typed(meant, view, draw), meant)


def _typed(meant: str, view: int, draw: random.Random) -> str:
    right = view == 0 and draw.random() < TYPED_RIGHT
    return meant.lower() if right else corrupt_query(meant, draw)


def _brand(draw: random.Random) -> str:
    return "".join(draw.choices(SYLLABLES, k=draw.randint(2, 3))).capitalize()
