import pytest

from models.juicer.caption import MAX_CHARACTERS, enrich_caption, stems


def agrees(_: str) -> bool:
    return True


@pytest.mark.parametrize(
    ("caption", "classes", "expected"),
    [
        ("Blue trousers", [("jean, blue jean, denim", 0.9)], "Blue trousers, featuring jean"),
        ("Denims, relaxed fit.", [("jean, blue jean, denim", 0.9)], "Denims, relaxed fit"),
        ("Two Bananas", [("banana", 0.99)], "Two Bananas"),
        ("A mug", [("coffee cup", 0.5)], "A mug"),
        ("", [("banana", 0.9)], "banana"),
        ("", [], ""),
        ("Set", [("cup", 0.7), ("plate", 0.6)], "Set, featuring cup, plate"),
    ],
)
def test_a_class_is_added_when_it_is_probable_and_new(
    caption: str, classes: list[tuple[str, float]], expected: str
) -> None:
    assert enrich_caption(caption, classes, agrees) == expected


def test_a_class_that_contradicts_the_text_is_left_out() -> None:
    classes = [("tennis ball", 0.9), ("orange", 0.8)]
    enriched = enrich_caption("Citrus", classes, lambda label: label != "tennis ball")
    assert enriched == "Citrus, featuring orange"


def test_at_most_three_are_added() -> None:
    many = [(name, 0.9) for name in ("cup", "plate", "fork", "spoon")]
    assert enrich_caption("Set", many, agrees) == "Set, featuring cup, plate, fork"


def test_long_captions_are_cut() -> None:
    assert len(enrich_caption("word " * 1000, [], agrees)) <= MAX_CHARACTERS


def test_stems_see_through_number_and_case() -> None:
    assert stems("Running SHOES") == stems("running shoe")
