"""Training data of the text projection: documents with synthetic queries.

Two sources, and no shop's catalog. Names and definitions of ImageNet's classes (WordNet's, from
timm) have synonyms and hypernyms. Made-up products differ in what titles differ in: an unknown
brand, a colour, a flavour, a size.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from models.catalog.typos import corrupt_query

SUBSET = "imagenet12k"
ARTIFACTS_AND_FOOD = re.compile("n0(2[6-9]|[34]|7)")
"""WordNet's offsets of artifacts and food; of all other classes every fourth is taken."""

FOOD = "n07"
QUERIES_PER_DOCUMENT = 2
"""Of these a quarter have no typos."""

CLEAN_SHARE = 0.5
"""Of first queries without typos; every second query is corrupted."""


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
VARIANTS = _listed("small, large, mini, slim, classic, sport, kids, vintage, soft, light, portable")
SIZES = _listed("500 g, 1 l, 250 ml, 2 kg, pack of 6, XL, size 42, 30 cm, 750 ml, 100 g")
SYLLABLES = _listed(
    "ar, al, bo, bra, da, dor, el, fi, ga, gar, go, ka, kel, la, len, li, lo, ma, mi, mor, na, "
    "nor, ol, pa, pri, ra, ri, ro, sa, sen, so, ta, tel, ti, to, va, vel, vi, yo, za, zen"
)


@dataclass(frozen=True)
class QueryExample:
    """A document, a query for it as it is typed, and the query without typos (`intent`)."""

    document: str
    query: str
    intent: str


def make_query_examples(seed: int = 0, products: int = 4000) -> list[QueryExample]:
    """All examples, the same for a seed; two for each class and for each made-up product."""
    rng = random.Random(seed)
    classes = list(_classes())
    return [*_class_examples(classes, rng), *_product_examples(classes, products, rng)]


def _classes() -> Iterator[tuple[str, list[str], str]]:
    """Synset id, names and definition of each class."""
    from timm.data.imagenet_info import ImageNetInfo  # noqa: PLC0415  fitting only

    info: Any = ImageNetInfo(SUBSET)
    for index, synset in enumerate(info.label_names()):
        if not ARTIFACTS_AND_FOOD.match(synset) and index % 4:
            continue
        names = [name.strip() for name in str(info.index_to_description(index)).split(",")]
        whole = str(info.index_to_description(index, detailed=True))
        yield synset, names, whole.partition(": ")[2]


def _class_examples(
    classes: list[tuple[str, list[str], str]], rng: random.Random
) -> Iterator[QueryExample]:
    for _, names, definition in classes:
        listed = names if rng.random() < 0.3 else names[:1]
        document = ", ".join(listed) + (f". {definition}" if rng.random() < 0.85 else "")
        for number in range(QUERIES_PER_DOCUMENT):
            intent = rng.choice(names)
            content = [word for word in re.findall(r"[\w-]+", definition) if len(word) > 3]
            if rng.random() < 0.25 and content:
                intent = f"{rng.choice(content)} {intent}"
            elif rng.random() < 0.1 and len(content) > 3:
                start = rng.randrange(len(content) - 2)
                intent = " ".join(content[start : start + 3])
            yield QueryExample(document, _type(intent, number, rng), intent)


def _product_examples(
    classes: list[tuple[str, list[str], str]], count: int, rng: random.Random
) -> Iterator[QueryExample]:
    goods = [one for one in classes if ARTIFACTS_AND_FOOD.match(one[0])]
    # Few categories and brands at a time, so that many products differ in one word alone.
    for start in range(0, count, 40):
        categories = rng.sample(goods, 4)
        brands = [_invent_brand(rng) for _ in range(6)]
        for _ in range(min(40, count - start)):
            yield from _examples_of_product(rng.choice(categories), rng.choice(brands), rng)


def _examples_of_product(
    category: tuple[str, list[str], str], brand: str, rng: random.Random
) -> Iterator[QueryExample]:
    synset, names, definition = category
    name = names[0]
    if synset.startswith(FOOD):
        traits = rng.sample(FLAVOURS, rng.randint(1, 2))
    else:
        traits = [rng.choice(some) for some in rng.sample((COLOURS, MATERIALS, VARIANTS), 2)]
    size = rng.choice(SIZES) if rng.random() < 0.3 else ""
    title = " ".join(part for part in (brand, *traits, name, size) if part)
    descriptions = (
        "",
        f". {traits[0].capitalize()} {name} from {brand}",
        f". {definition}",
        f". A {traits[-1]} {name}: {definition}",
    )
    document = title + rng.choice(descriptions)
    for number in range(QUERIES_PER_DOCUMENT):
        words = [word for word in (brand, *traits, size) if word and rng.random() < 0.6]
        words.append(rng.choice(names) if rng.random() < 0.85 or not words else "")
        if rng.random() < 0.3:
            rng.shuffle(words)
        intent = " ".join(word for word in words if word)
        yield QueryExample(document, _type(intent, number, rng), intent)


def _type(intent: str, number: int, rng: random.Random) -> str:
    clean = number == 0 and rng.random() < CLEAN_SHARE
    return intent.lower() if clean else corrupt_query(intent, rng)


def _invent_brand(rng: random.Random) -> str:
    return "".join(rng.choices(SYLLABLES, k=rng.randint(2, 3))).capitalize()
