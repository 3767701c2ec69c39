"""Colours that texts name."""

import pytest

from models.text.colour_words import colour_words


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Lilac dress", ("lilac",)),
        ("GRAY or grey", ("grey",)),
        ("a blue-and-white mug", ("blue", "white")),
        ("redwood table", ()),
        ("", ()),
    ],
)
def test_colours_are_whole_words(text: str, named: tuple[str, ...]) -> None:
    assert colour_words(text) == named
