import numpy as np
import pytest

from models.text.minilm import WIDTH, MiniLMEncoder, normalise


@pytest.fixture(scope="module")
def encoder() -> MiniLMEncoder:
    return MiniLMEncoder()


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("Red  APPLES\n", "red apple"),
        ("Berries", "berry"),
        ("dresses", "dress"),
        ("tomatoes", "tomato"),
        ("glass", "glass"),
        ("asparagus", "asparagus"),
        ("ＪＥＡＮＳ", "jean"),
        ("a\x00b", "a b"),
        ("bus", "bus"),
        ("  ", ""),
    ],
)
def test_slips_are_made_equal(slip: str, meant: str) -> None:
    assert normalise(slip) == meant


def test_a_text_has_the_same_bytes_in_any_company(encoder: MiniLMEncoder) -> None:
    texts = ["granny smith apple", "a much longer text about a pair of blue jeans", "milk"]
    together = encoder.encode(texts)
    alone = np.concatenate([encoder.encode([text]) for text in reversed(texts)])
    assert together.tobytes() == alone[::-1].tobytes()


def test_vectors_have_length_one_and_an_empty_text_none(encoder: MiniLMEncoder) -> None:
    rows = encoder.encode(["milk", " "])
    assert rows.shape == (2, WIDTH)
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 0], abs=1e-5)
    assert encoder.encode([]).shape == (0, WIDTH)


def test_like_texts_are_near(encoder: MiniLMEncoder) -> None:
    apple, fruit, shoe = encoder.encode(["green apples", "Granny Smith apple", "leather boots"])
    assert apple @ fruit > apple @ shoe + 0.2


def test_a_text_longer_than_the_network_reads_is_cut(encoder: MiniLMEncoder) -> None:
    rows = encoder.encode(["word " * 500, "word " * 600])
    assert rows[0].tobytes() == rows[1].tobytes()
