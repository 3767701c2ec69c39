import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson
import pytest
from safetensors.numpy import load_file, save_file

from models.arrays import Floats, unit
from models.catalog.typos import corrupt_query, mistype
from models.embedding.text_projection import (
    PACKAGED,
    PREFIXES,
    WIDTH,
    TextProjection,
    load_text_projection,
    save_text_projection,
)
from models.errors import ProjectionError, WeightsError
from models.text.minilm import MiniLMEncoder
from models.text.multilingual import MultilingualEncoder
from models.text.sentence_encoders import TEXT_MODELS, SentenceEncoder
from models.training.text.queries import QUERIES_PER_DOCUMENT, QueryExample, make_query_examples
from tests.needs import needs_multilingual

PRODUCTS = (
    "Granny Smith. Granny Smith is a green apple with white, firm pulp and a clear acidity. Apple",
    "Avocado. A fruit with a clear core in the middle and light yellow pulp. Avocado",
    "Vine Tomato. Round tomatoes with vines in the package. Tomato",
    "Alpro Blueberry Soyghurt. Soy based ghurt, used as yoghurt, with mild blueberry taste",
    "Arla Natural Yoghurt. Creamy, slightly more acidic yoghurt with a clear character. Yoghurt",
    "Bravo Orange Juice. Ready to drink orange juice from concentrate. Juice",
    "Oatly Oat Milk. A natural oat drink, enriched with calcium and vitamins. Oat-Milk",
    "Zorvex trail shoe. A running shoe with a deep tread and a waterproof upper. Shoes",
)


@pytest.fixture(scope="module")
def projection() -> TextProjection:
    return load_text_projection()


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return MiniLMEncoder()


@pytest.mark.parametrize(
    ("typed", "at"),
    [
        ("green aples", 0),
        ("avokado", 1),
        ("tomatos", 2),
        ("yoghurt blueberry", 3),
        ("ARLA YOGURT", 4),
        ("orage juce", 5),
        ("oatly mlik", 6),
        ("zorvx shoes", 7),
    ],
)
def test_mistyped_words_find_what_was_meant(
    projection: TextProjection, encoder: SentenceEncoder, typed: str, at: int
) -> None:
    documents = np.stack([projection.encode(text, encoder) for text in PRODUCTS])
    query = projection.encode(typed, encoder)
    for width in PREFIXES[1:]:
        assert np.argmax(unit(documents[:, :width]) @ query[:width]) == at, width


def test_a_text_has_the_same_bytes_with_its_sentence_vector_at_hand(
    projection: TextProjection, encoder: SentenceEncoder
) -> None:
    text = "Granny Smith"
    sentence = encoder.encode(["milk", text])[1]
    assert (
        projection.project(text, sentence).tobytes() == projection.encode(text, encoder).tobytes()
    )


def test_vectors_have_length_one_and_a_text_without_words_none(
    projection: TextProjection, encoder: SentenceEncoder
) -> None:
    vector = projection.encode("milk", encoder)
    assert vector.shape == (WIDTH,)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    assert not projection.encode("  ", encoder).any()


def test_what_is_saved_is_read_again_and_small(projection: TextProjection, tmp_path: Path) -> None:
    save_text_projection(projection, tmp_path / "new" / "words.safetensors")
    again = load_text_projection(path=tmp_path / "new" / "words.safetensors")
    assert again.letters.tobytes() == projection.letters.tobytes()
    assert again.card == projection.card
    assert again.model == projection.model
    assert all(path.stat().st_size < 1_500_000 for path in PACKAGED.values())


def test_maps_that_cannot_be_read_say_what_to_do(
    projection: TextProjection, tmp_path: Path
) -> None:
    path = tmp_path / "words.safetensors"
    with pytest.raises(ProjectionError, match="lookstream train text"):
        load_text_projection(path=path)
    save_text_projection(projection, path)
    tensors = load_file(path)
    save_file({**tensors, "letters": tensors["letters"][:10]}, path)
    with pytest.raises(ProjectionError, match="shapes"):
        load_text_projection(path=path)
    path.with_suffix(".json").write_bytes(orjson.dumps({"format": 0}))
    with pytest.raises(ProjectionError, match="another version"):
        load_text_projection(path=path)
    path.write_bytes(b"{")
    with pytest.raises(ProjectionError, match="cannot be read"):
        load_text_projection(path=path)


def test_each_encoder_has_maps_of_its_own(projection: TextProjection, tmp_path: Path) -> None:
    assert PACKAGED.keys() == TEXT_MODELS.keys()
    path = tmp_path / "words.safetensors"
    save_text_projection(projection, path)
    with pytest.raises(ProjectionError, match=r"'minilm'; fit them with .* --text multilingual"):
        load_text_projection("multilingual", path)
    with pytest.raises(WeightsError, match="'klingon': there are minilm, multilingual"):
        load_text_projection("klingon")


@needs_multilingual()
def test_words_of_other_languages_find_what_is_meant() -> None:
    maps, encoder = load_text_projection("multilingual"), MultilingualEncoder()
    documents = np.stack([maps.encode(text, encoder) for text in PRODUCTS])
    for typed, at in (
        ("pomidory na gałązce", 2),
        ("jogurt naturalny", 4),
        ("橙汁", 5),
        ("حليب الشوفان", 6),
        ("Laufschuhe", 7),
        ("zorvx shoes", 7),
        ("orage juce", 5),
    ):
        assert np.argmax(documents @ maps.encode(typed, encoder)) == at, typed


def test_typos_are_as_many_as_asked_for_and_the_same_for_a_seed() -> None:
    text = "blueberry yoghurt of oats"
    typed = mistype(text, random.Random(3), 2)
    changed = [new != old for new, old in zip(typed.split(), text.split(), strict=True)]
    assert sum(changed) <= 2
    assert mistype(text, random.Random(3), 2) == typed
    assert mistype("a bc xyz", random.Random(0)) == "a bc xyz"
    assert len({corrupt_query(text, random.Random(seed)) for seed in range(50)}) > 25
    assert corrupt_query("milk", random.Random(0))


def test_typos_in_other_alphabets_have_letters_of_these() -> None:
    for text in ("помидоры черри", "حليب الشوفان", "有机牛奶饮料"):
        typed = {mistype(text, random.Random(seed)) for seed in range(60)}
        assert len(typed) > 5
        assert set("".join(typed)) <= set(text)
    assert "platano" in {mistype("plátano", random.Random(seed)) for seed in range(200)}


@pytest.fixture(scope="module")
def examples() -> list[QueryExample]:
    return make_query_examples(products=80)


@pytest.mark.slow
def test_examples_are_the_same_for_a_seed_and_lie_side_by_side(
    examples: list[QueryExample],
) -> None:
    assert make_query_examples(products=80) == examples
    for start in range(0, len(examples), QUERIES_PER_DOCUMENT):
        assert len({one.document for one in examples[start : start + QUERIES_PER_DOCUMENT]}) == 1
    assert all(one.query and one.intent and one.document for one in examples)


@pytest.mark.slow
@pytest.mark.torch
def test_fitting_is_repeatable_and_learns(tmp_path: Path) -> None:
    from models.training.text.train import fit_text_projection

    def encode(texts: Sequence[str]) -> Floats:
        """The same for all texts, so that only n-grams tell them apart."""
        return np.full((len(texts), 384), 384**-0.5, np.float32)

    fits = [fit_text_projection(documents=640, steps=steps, encode=encode) for steps in (1, 40, 40)]
    first, later, again = fits
    assert later.letters.tobytes() == again.letters.tobytes()
    key = "held_out_recall_at_1"
    assert later.card[key]["127"] >= first.card[key]["127"]  # type: ignore[index]
    assert "--documents 640" in str(later.card["command"])


@pytest.mark.slow
def test_names_in_other_languages_come_in_whole_runs() -> None:
    pytest.importorskip("emoji", reason="needs emoji: pip install 'lookstream[train]'")
    from models.training.text.translations import make_translation_examples

    examples = make_translation_examples(2, 16)
    assert make_translation_examples(2, 16) == examples
    assert len(examples) % 32 == 0
    assert len(examples) > 4000
    assert all(one.query and one.document for one in examples)
    asked = {one.query for one in examples if one.document == "lemon"}
    assert len(asked) >= 2
    assert "lemon" not in asked
