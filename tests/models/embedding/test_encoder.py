from pathlib import Path

import numpy as np
import pytest

from models.arrays import Floats
from models.backbone.onnx import OnnxBackbone
from models.catalog.folder import read_catalog
from models.embedding.encoder import TOKENS, Encoder
from models.embedding.identity_library import MIN_IDENTITY_WEIGHT
from models.embedding.layout import PartWeights
from models.embedding.load import load_encoder
from models.embedding.protocol import Encoded
from models.errors import PictureError, ProjectionError, TextError, WeightsError
from models.images.files import open_picture
from models.images.letterbox import Picture
from models.juicer.juice import MAX_BYTES, Juice


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("cpu", threads=1)


def striped(colour: tuple[int, int, int], height: int = 200, width: int = 150) -> Picture:
    """A striped ball on a white ground."""
    y, x = np.mgrid[:height, :width]
    ball = (y - height / 2) ** 2 + (x - width / 2) ** 2 < (width / 3) ** 2
    canvas = np.full((height, width, 3), 255, np.uint8)
    canvas[ball & (y // 8 % 2 == 0)] = colour
    canvas[ball & (y // 8 % 2 == 1)] = 40
    return canvas


RED, BLUE = striped((200, 30, 40)), striped((30, 60, 200), 150, 220)


@pytest.mark.slow
def test_an_item_has_the_same_bytes_in_any_batch(encoder: Encoder) -> None:
    pictures, texts = [RED, None, BLUE, RED], ["a red ball", "milk", None, ""]
    together = encoder.encode_items(pictures, texts)
    for one, picture, text in zip(together, pictures, texts, strict=True):
        (alone,) = encoder.encode_items([picture], [text])
        assert alone.vector.tobytes() == one.vector.tobytes()
        assert alone.juice.to_bytes() == one.juice.to_bytes()


def test_an_encoded_picture_with_another_text_has_the_bytes_of_encoding_it_anew(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [RED, BLUE, None, RED]
    before = encoder.encode_items(
        pictures, ["a ball", None, "milk", "toy"], [(), ("Toys",), (), ()]
    )
    # As they come back from the index.
    known = [Encoded(one.vector, Juice.from_bytes(one.juice.to_bytes())) for one in before]
    texts, paths = ["a blue ball", "striped", "oat milk", None], [("Toys",), (), (), ()]
    anew = encoder.encode_items(pictures, texts, paths)
    seen: list[int] = []
    patches = OnnxBackbone.patches

    def counted(backbone: OnnxBackbone, rows: Floats) -> Floats:
        seen.append(len(rows))
        return patches(backbone, rows)

    monkeypatch.setattr(OnnxBackbone, "patches", counted)
    reused = encoder.encode_items(known, texts, paths)
    assert seen == []
    for one, other in zip(reused, anew, strict=True):
        assert one.vector.tobytes() == other.vector.tobytes()
        assert one.juice.to_bytes() == other.juice.to_bytes()
    assert encoder.encode_items([known[0], BLUE], ["x", "y"])[1].juice.has_picture
    assert seen == [1]


def test_threads_change_nothing(encoder: Encoder) -> None:
    (one,) = encoder.encode_items([RED], ["ball"])
    (other,) = load_encoder("cpu", threads=2).encode_items([RED], ["ball"])
    assert other.vector.tobytes() == one.vector.tobytes()
    assert other.juice == one.juice


def test_vectors_have_length_one_whatever_is_missing(encoder: Encoder) -> None:
    for encoded in encoder.encode_items([RED, None, BLUE, None], ["ball", "ball", None, None]):
        assert encoded.vector.shape == (encoder.dim,)
        assert encoded.vector.dtype == np.float32
        assert np.linalg.norm(encoded.vector) == pytest.approx(1, abs=1e-5)


def test_a_picture_finds_its_own_item_with_or_without_words(encoder: Encoder) -> None:
    items = encoder.encode_items([RED, RED, BLUE], ["ball", None, "ball"])
    (query,) = encoder.encode_queries([RED], [None])
    with_words, without, other = (float(item.vector @ query.vector) for item in items)
    assert with_words == pytest.approx(without, abs=1e-4)
    assert other < without - 0.1


def test_a_query_for_an_encoded_item_has_the_bytes_of_one_by_its_picture(encoder: Encoder) -> None:
    weights = PartWeights(identity=0.3)
    items = encoder.encode_items([RED, BLUE], ["a red ball", None])
    anew = encoder.encode_queries([RED, BLUE], [None, "ball"], weights)
    for one, other in zip(
        encoder.encode_queries(items, [None, "ball"], weights), anew, strict=True
    ):
        assert one.vector.tobytes() == other.vector.tobytes()
        assert one.juice.to_bytes() == other.juice.to_bytes()
        assert one.weights == weights


def test_text_finds_an_item(encoder: Encoder) -> None:
    items = encoder.encode_items([None, None, RED], ["whole milk", "denim jeans", None])
    (query,) = encoder.encode_queries([None], ["MILK"])
    scores = [float(item.vector @ query.vector) for item in items]
    assert scores[0] > scores[1] + 0.1
    assert scores[2] == pytest.approx(0, abs=1e-5)


def test_the_category_is_read_where_the_text_lacks_it(encoder: Encoder) -> None:
    named, leaf, doubled = encoder.encode_items(
        [None] * 3,
        ["Royal Gala. Apple", "Royal Gala", "Royal Gala Apples"],
        [(), ("Apple",), ("Apple",)],
    )
    assert leaf.vector.tobytes() == named.vector.tobytes()
    (alone,) = encoder.encode_items([None], ["Royal Gala Apples"])
    assert doubled.vector.tobytes() == alone.vector.tobytes()


def test_the_juice_has_what_was_kept(encoder: Encoder) -> None:
    (encoded,) = encoder.encode_items([RED], ["a ball"])
    juice = Juice.from_bytes(encoded.juice.to_bytes())
    assert len(encoded.juice.to_bytes()) <= MAX_BYTES
    assert juice.tokens.shape == (TOKENS + 1, 64)
    assert len(set(juice.kept)) == TOKENS
    assert len(juice.saliency) == juice.grid[0] * juice.grid[1]
    assert juice.colour.shape == (120,)
    assert juice.text.shape == (384,)
    assert juice.caption.startswith("a ball")
    x0, y0, x1, y1 = juice.box
    assert 0 <= x0 < 0.5 < x1 <= 1
    assert 0 <= y0 < 0.5 < y1 <= 1


def test_extreme_pictures_are_encoded(encoder: Encoder) -> None:
    black, thin = np.zeros((50, 50, 3), np.uint8), striped((9, 99, 9), 1000, 8)
    for encoded in encoder.encode_items([black, thin], [None, None]):
        assert np.isfinite(encoded.vector).all()
        assert encoded.juice.has_picture


def test_a_query_needs_something(encoder: Encoder) -> None:
    with pytest.raises(TextError, match="a picture, or a text"):
        encoder.encode_queries([None], ["  "])


def test_a_bad_picture_is_refused(encoder: Encoder) -> None:
    with pytest.raises(PictureError):
        encoder.encode_items([np.zeros((4, 4, 3), np.uint8)], [None])


def test_nothing_gives_nothing(encoder: Encoder) -> None:
    assert encoder.encode_items([], []) == []


def test_models_have_names_of_their_own(encoder: Encoder) -> None:
    fast = load_encoder("cpu", "lite0", threads=1)
    assert encoder.model_id.startswith("lite2-minilm-768-")
    assert fast.model_id.startswith("lite0-minilm-768-")
    assert fast.encode_items([RED], [None])[0].juice.grid == (7, 7)


@pytest.mark.slow
def test_identity_weighs_more_in_a_catalog_of_training_than_in_noise(encoder: Encoder) -> None:
    catalog = read_catalog(Path("examples/grocery"))
    shown = [open_picture(Path(catalog.locate(one.image or ""))) for one in catalog.products[::4]]
    trained_on = np.stack([one.vector for one in encoder.encode_items(shown, [None] * len(shown))])
    known = encoder.part_weights(trained_on)
    assert 0.5 < known.identity <= 1
    random = np.random.default_rng(0)
    noise = [random.integers(0, 256, (90, 80, 3), dtype=np.uint8) for _ in range(10)]
    unlike = np.stack([one.vector for one in encoder.encode_items(noise, [None] * 10)])
    assert encoder.part_weights(unlike).identity == MIN_IDENTITY_WEIGHT
    by_identity, by_appearance = (
        encoder.encode_queries([shown[0]], [None], PartWeights(*weights))[0].vector
        for weights in ((1, 0, 0), (0, 1, 0))
    )
    assert by_identity @ trained_on[0] == pytest.approx(0.8 / 3**0.5, abs=1e-4)
    assert by_appearance @ trained_on[0] == pytest.approx(0.8 / 3**0.5, abs=1e-4)
    assert abs(by_identity @ by_appearance) < 1e-6


def test_in_an_untrained_encoder_identity_has_no_weight() -> None:
    fast = load_encoder("cpu", "lite0", threads=1)
    (item,) = fast.encode_items([RED], ["ball"])
    assert fast.part_weights(item.vector[None]).identity == 0


def test_unknown_backbones_and_missing_projections_are_refused() -> None:
    with pytest.raises(WeightsError, match="unknown backbone 'huge'"):
        load_encoder("cpu", "huge")
    with pytest.raises(ProjectionError, match="lookstream train embedding"):
        load_encoder("cpu", projection=Path("none.safetensors"))


@pytest.mark.parametrize("text", ["Made of oats and water, without sugar. ", "牛奶", "🥛"])
def test_a_long_description_is_taken(encoder: Encoder, text: str) -> None:
    (one,) = encoder.encode_items([RED], [(text * 8000)[:8000]])
    assert len(one.juice.to_bytes()) <= MAX_BYTES
