import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.text.hashed_ngrams import BUCKETS, hash_ngrams, ngrams


def test_words_are_cut_with_their_ends() -> None:
    assert sorted(ngrams("Oat")) == ["^oa", "at$", "oat"]
    assert sorted(ngrams("XL l")) == ["^l$", "^xl", "xl$"]


def test_number_case_and_punctuation_make_no_difference() -> None:
    assert ngrams("Green APPLES, 1l.") == ngrams("green apple 1l")


def test_what_comes_first_counts_more() -> None:
    assert ngrams("oat milk a b oat") == {
        **{gram: pytest.approx(1.5) for gram in ("^oa", "oat", "at$")},
        **{gram: pytest.approx(0.8) for gram in ("^mi", "mil", "ilk", "lk$")},
        "^a$": pytest.approx(4 / 6),
        "^b$": pytest.approx(4 / 7),
    }
    first, last = (
        hash_ngrams("oat milk made by people who care"),
        hash_ngrams("who care made by oat milk"),
    )
    assert first @ hash_ngrams("oat milk") > last @ hash_ngrams("oat milk") + 0.1


@given(st.text(max_size=60))
def test_vectors_have_length_one_or_none(text: str) -> None:
    length = np.linalg.norm(hash_ngrams(text))
    assert length == pytest.approx(1 if ngrams(text) else 0, abs=1e-5)


def test_a_slip_leaves_most_and_another_word_little() -> None:
    meant = hash_ngrams("avocado")
    assert hash_ngrams("avokado") @ meant > 0.3
    assert abs(hash_ngrams("cucumber") @ meant) < 0.15
    assert hash_ngrams("arla yoghurt") @ hash_ngrams("arla yogurt") > 0.6


def test_every_process_hashes_alike() -> None:
    code = (
        "from models.text.hashed_ngrams import hash_ngrams\n"
        "print(hash_ngrams('red shoe').tobytes().hex())"
    )
    there = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7", "PYTHONPATH": "."},
    )
    assert bytes.fromhex(there.stdout.strip()) == hash_ngrams("red shoe").tobytes()
    assert hash_ngrams("red shoe").shape == (BUCKETS,)
