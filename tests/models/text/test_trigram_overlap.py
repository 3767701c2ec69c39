import numpy as np
import pytest

from models.text.trigram_overlap import lexical_match, trigrams


def test_trigrams_are_those_of_padded_normalised_words() -> None:
    assert trigrams("Ox") == {" ox", "ox "}
    assert trigrams("RED  apples") == trigrams("red apple")
    assert trigrams(" ") == frozenset()


def test_the_title_with_the_words_wins_and_typos_survive() -> None:
    titles = ["Golden Delicious", "Granny Smith", "Royal Gala"]
    assert lexical_match("granny smith", titles)[1] == pytest.approx(1.0)
    for query in ("grany smith", "GRANNY", "smiht granny"):
        assert lexical_match(query, titles).argmax() == 1


def test_what_every_title_has_weighs_less() -> None:
    titles = ["apple juice", "orange juice", "pear juice", "juice"]
    match = lexical_match("orange juice", titles)
    assert match.argmax() == 1
    assert match[3] < 0.5  # one of two words, but the one all have


def test_an_empty_title_or_query_is_not_known() -> None:
    np.testing.assert_array_equal(np.isnan(lexical_match("pear", ["pear", ""])), [False, True])
    assert np.isnan(lexical_match("", ["pear"])).all()
    assert lexical_match("pear", []).shape == (0,)
