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


TITLES = ("Red Bell Pepper", "Arla Oat Milk", "Valio Oat Milk", "Banana")


@pytest.mark.parametrize("query", ["红甜椒", "أحمر فلفل", "красный перец"])
def test_a_query_in_another_script_says_nothing_against_a_title(query: str) -> None:
    assert np.isnan(lexical_match(query, TITLES)).all()


def test_a_query_in_another_language_says_nothing_against_a_title() -> None:
    assert np.isnan(lexical_match("hüvely szósz", TITLES)).all()


def test_of_a_brand_beside_foreign_words_the_brand_is_compared() -> None:
    match = lexical_match("arla 燕麦奶", [*TITLES, "苹果"])
    assert np.nanargmax(match) == 1
    assert match[1] == pytest.approx(1)
    assert match[2] < 0.2
    assert match[4] == 0


def test_titles_in_the_same_script_are_compared_without_accents_and_spaces() -> None:
    match = lexical_match("红椒", ["红甜椒", "红椒粉", "牛奶"])
    assert match[1] == pytest.approx(1)
    assert match[2] == 0
    assert lexical_match("platano", ["Plátano", "Limón"])[0] == pytest.approx(1)
    assert lexical_match("зеленый чай", ["Зелёный чай", "Кофе"])[0] == pytest.approx(1)
