"""What a catalog's products teach, what is predicted by it, and its file."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from structlog.testing import capture_logs

from index.item import Item
from stream.messages import ProductUpsert
from tests.doubles.parted import COLOURS, KINDS, PartedEncoder, shown
from workers.config.settings import Settings
from workers.evidence.predicted_attributes import (
    AttributePredictor,
    AttributePredictorFile,
    Suggestion,
    attribute_predictor_of,
    fit_attributes,
    share_attribute_predictor,
)
from workers.ingest.items import FetchedPicture, encode_products, fetched_product


def stored(number: int, colour: int, kind: int, encoder: PartedEncoder) -> Item:
    return Item(
        item_id=f"p{number}#0",
        product_id=f"p{number}",
        prototype=0,
        vector=encoder.encode_items([shown(colour, kind)], [None])[0].vector,
        payload={"title": f"{COLOURS[colour]} thing", "category": list(KINDS[kind])},
    )


@pytest.fixture
def encoder() -> PartedEncoder:
    return PartedEncoder()


@pytest.fixture
def words(encoder: PartedEncoder) -> AttributePredictor:
    items = [stored(at, at % 3, at // 3 % 3, encoder) for at in range(108)]
    return fit_attributes(items, encoder.model_id)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


def predicted(
    words: AttributePredictor,
    encoder: PartedEncoder,
    text: str = "",
    category: tuple[str, ...] = (),
    attributes: dict[str, object] | None = None,
) -> Suggestion:
    vector = encoder.encode_items([shown(2, 1)], [text])[0].vector
    [found] = words.suggest(vector[None], [text], [category], [attributes or {}])
    return found


def test_colour_and_category_are_predicted(
    words: AttributePredictor, encoder: PartedEncoder
) -> None:
    assert predicted(words, encoder, "thing") == Suggestion("blue", ("Women", "Tops"))


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        ("navy thing", {}),
        ("thing", {"lining": "red"}),
        ("thing", {"Color": "midnight"}),
    ],
)
def test_nothing_is_told_beside_the_shops_own_colour(
    words: AttributePredictor, encoder: PartedEncoder, text: str, attributes: dict[str, object]
) -> None:
    assert predicted(words, encoder, text, attributes=attributes).colour == ""


def test_a_category_is_never_told_over_the_shops_own(
    words: AttributePredictor, encoder: PartedEncoder
) -> None:
    assert predicted(words, encoder, category=("Men",)).category == ()


def test_what_was_told_teaches_nothing(encoder: PartedEncoder) -> None:
    """Only what shops say counts: else an error would teach itself."""
    items = [
        msgspec.structs.replace(
            stored(at, at % 3, 0, encoder),
            payload={"title": "thing", "category": [], "suggested": {"colour": "red"}},
        )
        for at in range(60)
    ]
    words = fit_attributes(items, encoder.model_id)
    assert words.colour is None
    assert words.category == ()


def test_the_file_gives_back_what_was_written(
    words: AttributePredictor, encoder: PartedEncoder, settings: Settings
) -> None:
    file = AttributePredictorFile(settings, encoder.model_id)
    assert file.read() is None
    file.write(words)
    read = file.read()
    assert read is not None
    assert read.figures() == words.figures() == {"products": 108, "colours": 3, "categories": 5}
    assert predicted(read, encoder) == predicted(words, encoder)
    assert AttributePredictorFile(settings, "another").read() is None


def test_a_damaged_file_is_said_and_not_used(
    words: AttributePredictor, encoder: PartedEncoder, settings: Settings
) -> None:
    file = AttributePredictorFile(settings, encoder.model_id)
    file.write(words)
    file.path.write_bytes(file.path.read_bytes()[:100])
    with capture_logs() as logs:
        assert file.read() is None
    assert "learn it again (lookstream suggest)" in logs[0]["event"]


def test_an_index_built_anew_begins_with_what_the_live_one_was_taught(
    words: AttributePredictor, encoder: PartedEncoder, settings: Settings, tmp_path: Path
) -> None:
    candidate = Settings(data_dir=tmp_path / "candidate")
    share_attribute_predictor(settings, candidate)
    assert AttributePredictorFile(candidate, encoder.model_id).read() is None
    AttributePredictorFile(settings, encoder.model_id).write(words)
    share_attribute_predictor(settings, candidate)
    assert AttributePredictorFile(candidate, encoder.model_id).read() is not None


def test_only_the_setting_lets_a_worker_tell(encoder: PartedEncoder, settings: Settings) -> None:
    assert attribute_predictor_of(settings, encoder) is None
    ingest = settings.ingest.model_copy(update={"predict_attributes": True})
    assert (
        attribute_predictor_of(settings.model_copy(update={"ingest": ingest}), encoder) is not None
    )


# At ingest.


def ingested(
    event: ProductUpsert,
    encoder: PartedEncoder,
    words: AttributePredictor | None,
    known: tuple[Item, ...],
) -> Item:
    picture = FetchedPicture("0" * 64, shown(2, 1))
    fetched = replace(
        fetched_product(event, [picture], encoder.model_id),
        known={item.digest: item for item in known},
    )
    [[item]] = encode_products([fetched], encoder, words)
    return item


def test_a_told_colour_is_read_with_the_words_and_stored_beside_them(
    words: AttributePredictor, encoder: PartedEncoder
) -> None:
    event = ProductUpsert(product_id="new", title="thing", image="thing.png")
    item = ingested(event, encoder, words, ())
    assert item.payload["title"] == "thing"
    assert item.payload["category"] == []
    assert item.payload["caption"] == "thing, blue"
    assert item.payload["suggested"] == {"colour": "blue", "category": ["Women", "Tops"]}
    [as_predicted] = encoder.encode_items([shown(2, 1)], ["thing, blue"])
    assert item.vector is not None
    assert np.array_equal(item.vector, as_predicted.vector)


def test_an_event_that_comes_again_changes_nothing(
    words: AttributePredictor, encoder: PartedEncoder
) -> None:
    """Whatever was learned meanwhile."""
    event = ProductUpsert(product_id="new", title="thing", image="thing.png")
    first = ingested(event, encoder, words, ())
    again = ingested(event, encoder, None, (first,))
    assert again.payload == first.payload
    assert again.digest == first.digest
    plain = ingested(event, encoder, None, ())
    assert "suggested" not in plain.payload
    assert ingested(event, encoder, words, (plain,)).payload == plain.payload
