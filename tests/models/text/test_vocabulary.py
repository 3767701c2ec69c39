"""Query words repaired by a catalog's own."""

from __future__ import annotations

import random
import string

import pytest

from models.text import minilm
from models.text.sentence_encoders import text_model
from models.text.vocabulary import Vocabulary

COMMON = {"yellow", "smooth", "red", "for", "the", "straw"}
PRODUCTS = (
    (("Arla Oat Milk", "Packages", "Milk"), "Made of Swedish oats."),
    (("Gala Apples", "Fruit", "Apple"), ""),
    (("Passion Fruit", "Fruit", "Passion Fruit"), ""),
    (("Brown-Cap Mushroom", "Vegetables"), ""),
    (("Wristwatch round", "Watches"), ""),
    (("Dark Chocolate", "Sweets"), ""),
    (("Płatki owsiane", "Śniadanie"), ""),
)


def vocabulary() -> Vocabulary:
    made = Vocabulary(minilm.normalise, COMMON.__contains__)
    for names, description in PRODUCTS:
        made.add(names, description)
    return made


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("aple", "Apple"),
        ("oat mlik", "oat Milk"),
        ("mushrooom, brown!", "Mushroom, brown!"),
        ("red aplpe fruit", "red Apple fruit"),
        ("gal apple", "Gala apple"),  # of three letters only beside a word that it belongs to
        ("passionfruit", "Passion Fruit"),
        ("browncap mushroom", "Brown Cap mushroom"),
        ("wrist watch", "Wristwatch"),
        ("dark choc", "dark Chocolate"),
        ("chclt", "Chocolate"),
        ("platkı owsiane", "platkı owsiane"),  # accents and dots alone are no typo
        ("platkii owsiane", "Płatki owsiane"),
    ],
)
def test_words_are_repaired(typed: str, meant: str) -> None:
    assert vocabulary().repair(typed) == meant


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "?!",
        "apples",  # a product has it in another number
        "MILK",
        "swedish",  # from a description
        "straw",  # common, though near to nothing here
        "gal",
        "xl 42",
        "milk2go",
        "红色苹果",
        "lait entier pour le café",  # most of it is strange here: another language
    ],
)
def test_words_are_left_alone(typed: str) -> None:
    assert vocabulary().repair(typed) == typed


def test_a_word_of_the_catalog_is_never_repaired() -> None:
    words = vocabulary()
    names = [word for names, _ in PRODUCTS for name in names for word in name.split()]
    rng = random.Random(0)
    for _ in range(200):
        word = rng.choice(names)
        beside = "".join(rng.choices(string.ascii_lowercase, k=rng.randint(1, 9)))
        for typed in (f"{word} {beside}", f"{beside} {word}"):
            repaired = words.repair(typed)
            assert word in repaired or "".join(typed.split()).lower() in repaired.lower()


def test_words_come_and_go_with_products() -> None:
    words = vocabulary()
    assert words.repair("aple") == "Apple"
    words.remove(*PRODUCTS[1])
    assert words.repair("aple") == "aple"
    words.add(("Maple syrup",))
    assert words.repair("aple") == "Maple"
    words.remove(("Maple syrup",))
    for number, product in enumerate(PRODUCTS):
        if number != 1:
            words.remove(*product)
    assert len(words) == 0
    assert words.repair("mlik") == "mlik"


@pytest.mark.parametrize(
    ("encoder", "common", "strange"),
    [
        ("minilm", ("yellow", "Yellow", "cooking"), ("abuergine", "soyghurt")),
        pytest.param("multilingual", ("yellow", "manzana"), ("abuergine",), marks=pytest.mark.slow),
    ],
)
def test_encoders_know_common_words(
    encoder: str, common: tuple[str, ...], strange: tuple[str, ...]
) -> None:
    model = text_model(encoder).load()
    assert all(map(model.knows, common))
    assert not any(map(model.knows, strange))
