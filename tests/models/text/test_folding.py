import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.text.folding import fold_letters, fold_text, keep_case, letter_runs


@given(st.text(max_size=60))
def test_plain_text_is_already_plain(text: str) -> None:
    assert fold_text(fold_text(text)) == fold_text(text)
    assert keep_case(keep_case(text)) == keep_case(text)


@given(st.text(max_size=60))
def test_however_a_text_is_composed_it_is_the_same(text: str) -> None:
    composed, taken_apart = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    assert fold_letters(composed) == fold_letters(taken_apart)
    assert keep_case(composed) == keep_case(taken_apart)


@given(st.text(max_size=60))
def test_every_text_can_be_encoded_and_printed(text: str) -> None:
    for folded in (fold_text(text), keep_case(text), fold_letters(text)):
        folded.encode()
        assert folded.isprintable() or " " in folded or not folded


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Rote  Äpfel\n", "Rote Äpfel"),
        ("ROTE ÄPFEL", "rote äpfel"),
        ("ＪＥＡＮＳ Größe", "JEANS Größe"),
        ("a\x1b[2Jb\ud800", "a [2Jb"),
        ("红甜椒", "红甜椒"),
        ("  ", ""),
    ],
)
def test_case_is_kept_where_it_says_something(text: str, kept: str) -> None:
    assert keep_case(text) == kept


def test_vowels_of_indic_scripts_are_no_accents() -> None:
    assert fold_letters("की") != fold_letters("कु")


def test_runs_end_where_spaces_would() -> None:
    assert letter_runs("arla牛奶 1升") == ["arla", "牛奶", "1", "升"]
