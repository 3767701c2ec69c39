import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.arrays import Floats
from models.text.hashed_ngrams import BUCKETS, english_ngrams, hash_ngrams, ngrams


def hashed(text: str) -> Floats:
    return hash_ngrams(english_ngrams(text))


@pytest.mark.parametrize("cut", [english_ngrams, ngrams])
def test_words_are_cut_with_their_ends(cut: Callable[[str], dict[str, float]]) -> None:
    assert sorted(cut("Oat")) == ["^oa", "at$", "oat"]
    assert sorted(cut("XL l")) == ["^l$", "^xl", "xl$"]


def test_number_case_and_punctuation_make_no_difference() -> None:
    assert english_ngrams("Green APPLES, 1l.") == english_ngrams("green apple 1l")


def test_no_ending_is_cut_off_that_is_none_in_another_language() -> None:
    assert "as$" in ngrams("gafas")
    assert "as$" not in english_ngrams("gafas")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("platano", "Plátano"),
        ("zolta", "ŻÓŁTA"),
        ("strasse", "Straße"),
        ("creme brulee", "Crème brûlée"),
        ("كمثرى", "كُمَّثْرَى"),
        ("احمر", "أحمر"),
        ("قهوه", "قهوة"),
        ("ジュース", "ｼﾞｭｰｽ"),
    ],
)
def test_marks_that_shoppers_leave_out_make_no_difference(typed: str, meant: str) -> None:
    assert ngrams(typed) == ngrams(meant)


def test_without_spaces_pairs_of_characters_are_compared() -> None:
    assert set(ngrams("红甜椒")) == {"红甜", "甜椒"}
    assert set(ngrams("茶")) == {"茶"}
    assert set(ngrams("红色xl码")) == {"红色", "^xl", "xl$", "码"}
    assert set(ngrams("우유")) == {"우유"}


def test_what_comes_first_counts_more() -> None:
    assert english_ngrams("oat milk a b oat") == {
        **{gram: pytest.approx(1.5) for gram in ("^oa", "oat", "at$")},
        **{gram: pytest.approx(0.8) for gram in ("^mi", "mil", "ilk", "lk$")},
        "^a$": pytest.approx(4 / 6),
        "^b$": pytest.approx(4 / 7),
    }
    first, last = (
        hashed("oat milk made by people who care"),
        hashed("who care made by oat milk"),
    )
    assert first @ hashed("oat milk") > last @ hashed("oat milk") + 0.1


@given(st.text(max_size=60))
def test_vectors_have_length_one_or_none(text: str) -> None:
    length = np.linalg.norm(hashed(text))
    assert length == pytest.approx(1 if english_ngrams(text) else 0, abs=1e-5)


def test_a_slip_leaves_most_and_another_word_little() -> None:
    meant = hashed("avocado")
    assert hashed("avokado") @ meant > 0.3
    assert abs(hashed("cucumber") @ meant) < 0.15
    assert hashed("arla yoghurt") @ hashed("arla yogurt") > 0.6


def test_every_process_hashes_alike() -> None:
    code = (
        "from models.text.hashed_ngrams import hash_ngrams, ngrams\n"
        "print(hash_ngrams(ngrams('red shoe')).tobytes().hex())"
    )
    there = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7", "PYTHONPATH": "."},
    )
    assert bytes.fromhex(there.stdout.strip()) == hash_ngrams(ngrams("red shoe")).tobytes()
    assert hash_ngrams(ngrams("red shoe")).shape == (BUCKETS,)
