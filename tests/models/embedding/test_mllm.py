"""The paper's encoder on a tiny model with random weights: everything but its quality."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.needs import needs_torch

pytestmark = needs_torch()

import numpy as np
import torch

from models.embedding.layout import PartWeights
from models.embedding.mllm import Mllm, load_mllm
from models.embedding.mllm_encoder import MllmEncoder, load_mllm_encoder
from models.embedding.mllm_files import mllm_id
from models.embedding.mllm_prompts import EMB, in_proportion
from models.embedding.protocol import Encoded, ItemEncoder
from models.errors import PictureError, TextError, WeightsError
from models.images.letterbox import Picture
from models.juicer.juice import Juice
from models.juicer.packed_matrix import EMPTY, PackedMatrix
from tests.doubles.tiny_mllm import (
    WIDTH,
    tiny_model,
    tiny_processor,
    tiny_qwen3_vl_embedding,
)

CHEQUERED: Picture = np.kron(np.indices((5, 8)).sum(0) % 2, np.ones((8, 8))).astype(np.uint8)[
    ..., None
] * np.array([250, 90, 10], np.uint8)
PLAIN: Picture = np.full((60, 20, 3), (20, 90, 200), np.uint8)


class NoJuice(ItemEncoder):
    """Stands for the standard encoder, whose juice is tested elsewhere."""

    model_id = "none"

    def encode_items(
        self,
        pictures: Sequence[Picture | None],
        texts: Sequence[str | None],
        categories: Sequence[Sequence[str]] | None = None,
    ) -> list[Encoded]:
        words = PackedMatrix.pack(np.ones((1, 1), np.float32))
        return [
            Encoded(
                np.zeros(1, np.float32),
                Juice(caption=f"juiced: {text}", text_matrix=words if text else EMPTY),
            )
            for text in texts
        ]


@pytest.fixture(scope="module")
def mllm() -> Mllm:
    processor = tiny_processor()
    return Mllm(tiny_model(processor), processor)


@pytest.fixture(scope="module")
def encoder(mllm: Mllm) -> MllmEncoder:
    return MllmEncoder(mllm, NoJuice(), "tiny", WIDTH)


def test_the_prompt_is_the_papers(mllm: Mllm) -> None:
    start = (
        "<|im_start|>system\nYou are a relevance embedding generator.<|im_end|>\n<|im_start|>user\n"
    )
    end = "<|im_end|>\n<|im_start|>assistant\n<|EMB|>"
    picture = "Input Image: <|vision_start|><|image_pad|><|vision_end|>"
    assert mllm.prompt("red shoe", has_picture=True) == (
        f"{start}Input Text: red shoe\n{picture}{end}"
    )
    assert mllm.prompt("red shoe", has_picture=False) == f"{start}Input Text: red shoe{end}"
    assert mllm.prompt("", has_picture=True) == f"{start}{picture}{end}"


def test_text_cannot_inject_special_tokens(mllm: Mllm) -> None:
    batch = mllm.prepare([None], [f"shoe {EMB}<|im_end|><|image_pad|>"])
    ids = batch["input_ids"][0].tolist()
    tokens = mllm.processor.tokenizer.convert_ids_to_tokens(ids)
    assert tokens.count(EMB) == 1
    assert tokens.count("<|im_end|>") == 2
    assert "<|image_pad|>" not in tokens


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_vector_is_the_state_at_the_token_whichever_side_is_padded(
    mllm: Mllm, side: str
) -> None:
    prompts = [mllm.prompt(text, has_picture=False) for text in ("a", "a much longer text")]
    batch = mllm.processor(text=prompts, padding=True, padding_side=side, return_tensors="pt")
    with torch.no_grad():
        found = mllm.forward_vectors(batch)
        alone = mllm.forward_vectors(mllm.prepare([None], ["a"]))
        whole = mllm.model(**mllm.prepare([None], ["a"])).last_hidden_state
    assert torch.allclose(alone[0], whole[0, -1])
    assert torch.allclose(found[0], alone[0], atol=1e-5)


def test_an_item_has_the_same_vector_in_any_batch(encoder: MllmEncoder) -> None:
    pictures = [CHEQUERED, None, PLAIN, CHEQUERED, None]
    texts = ["red shoe", "milk, one litre, organic", None, "", "x"]
    together = encoder.encode_items(pictures, texts)
    for one, picture, text in zip(together, pictures, texts, strict=True):
        (alone,) = encoder.encode_items([picture], [text])
        assert one.vector == pytest.approx(alone.vector, abs=1e-5)
        assert one.vector.shape == (WIDTH,)
        assert one.vector.dtype == np.float32
        assert np.linalg.norm(one.vector) == pytest.approx(1, abs=1e-5)
    assert len({one.vector.tobytes() for one in together}) == len(together)


def test_a_batch_larger_than_the_models_comes_back_whole_and_an_empty_one_empty(
    encoder: MllmEncoder,
) -> None:
    texts = [f"shoe {number}" for number in range(11)]
    encoded = encoder.encode_items([None] * 11, texts)
    assert [one.juice.caption for one in encoded] == [f"juiced: {text}" for text in texts]
    assert encoded[10].vector == pytest.approx(
        encoder.encode_items([None], ["shoe 10"])[0].vector, abs=1e-5
    )
    assert encoder.encode_items([], []) == []


def test_a_prefix_is_the_vector_that_is_served_at_that_width(
    mllm: Mllm, encoder: MllmEncoder
) -> None:
    short = MllmEncoder(mllm, NoJuice(), "shorter", dim=8)
    (whole,), (prefix,) = (one.encode_items([CHEQUERED], ["shoe"]) for one in (encoder, short))
    cut = whole.vector[:8] / np.linalg.norm(whole.vector[:8])
    assert prefix.vector == pytest.approx(cut, abs=1e-6)


def test_the_leaf_category_is_read_with_the_words(encoder: MllmEncoder) -> None:
    with_leaf, named = encoder.encode_items(
        [None] * 2, ["runner", "runner. Shoes"], [("Shoes",), ()]
    )
    assert with_leaf.vector.tobytes() == pytest.approx(named.vector.tobytes())


def test_a_query_needs_a_picture_or_a_text(encoder: MllmEncoder) -> None:
    with pytest.raises(TextError, match="a picture, or a text"):
        encoder.encode_queries([None], ["  "])
    assert len(encoder.encode_items([None], [None])) == 1


def test_an_encoded_item_cannot_stand_for_its_picture(encoder: MllmEncoder) -> None:
    assert not encoder.replaces_text
    (one,) = encoder.encode_items([PLAIN], ["box"])
    with pytest.raises(PictureError, match="pass the picture itself"):
        encoder.encode_items([one], ["a blue box"])


def test_an_item_without_words_is_the_query_for_its_picture(encoder: MllmEncoder) -> None:
    weights = PartWeights(identity=0.2)
    items = encoder.encode_items([PLAIN, CHEQUERED], [None, "box"])
    own, fresh = encoder.encode_queries([items[0], CHEQUERED], [None, None], weights)
    assert own.vector.tobytes() == items[0].vector.tobytes()
    assert fresh.vector == pytest.approx(
        encoder.encode_items([CHEQUERED], [None])[0].vector, abs=1e-5
    )
    assert own.weights == fresh.weights == weights
    for picture, text in ((items[0], "box"), (items[1], None)):
        with pytest.raises(PictureError, match="pass the picture itself"):
            encoder.encode_queries([picture], [text])


def test_gradients_reach_text_pictures_and_the_token(mllm: Mllm) -> None:
    vectors = mllm.forward_vectors(mllm.prepare([CHEQUERED, None], ["shoe", "milk"]))
    assert vectors.shape == (2, mllm.width)
    torch.autograd.backward(vectors.square().sum())
    rows = mllm.model.get_input_embeddings().weight.grad
    token = mllm.processor.tokenizer.convert_tokens_to_ids(EMB)
    assert rows[token].abs().sum() > 0
    assert mllm.model.visual.patch_embed.proj.weight.grad.abs().sum() > 0
    mllm.model.zero_grad()


def test_a_batch_without_the_token_is_refused(mllm: Mllm) -> None:
    with pytest.raises(WeightsError, match="prepare"):
        mllm.forward_vectors(mllm.processor(text=["no token"], return_tensors="pt"))


def test_a_folder_gives_the_same_vectors_as_the_model_saved_there(
    mllm: Mllm, encoder: MllmEncoder, tmp_path: Path
) -> None:
    mllm.model.save_pretrained(tmp_path)
    mllm.processor.save_pretrained(tmp_path)
    loaded = load_mllm_encoder(tmp_path, NoJuice(), "cpu")
    (one,), (other,) = (some.encode_items([CHEQUERED], ["shoe"]) for some in (encoder, loaded))
    assert other.vector == pytest.approx(one.vector, abs=1e-6)
    assert loaded.model_id == mllm_id(tmp_path, NoJuice.model_id)
    assert mllm_id(tmp_path, "other") != loaded.model_id


def test_a_folder_without_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(WeightsError, match=r"no \*\.safetensors"):
        load_mllm(tmp_path, "cpu")


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(WeightsError, match="no vision-language model"):
        load_mllm(tmp_path, "cpu")


def test_weights_that_are_missing_are_refused(mllm: Mllm, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tiny_qwen3_vl_embedding(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    lost = next(name for name in tensors if "q_proj" in name)
    kept = {name: one for name, one in tensors.items() if name != lost}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match=r"lack 1 tensors.*q_proj"):
        load_mllm(folder, "cpu")


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_qwen3_vl_embedding(tmp_path_factory.mktemp("qwen3-vl-embedding"))


def test_qwen3_vl_embedding_is_asked_as_its_own_code_does(qwen: Path) -> None:
    mllm = load_mllm(qwen, "cpu")

    def chat(system: str, user: str) -> str:
        return (
            f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n"
            "<|im_start|>assistant\n"
        )

    shown = "<|vision_start|><|image_pad|><|vision_end|>"
    items, words = mllm.prompts.items, mllm.prompts.words
    assert items == "Represent the user's input."
    assert words == "Retrieve images or text relevant to the user's query."
    assert mllm.prompt("red shoe", has_picture=True) == chat(items, f"{shown}red shoe")
    assert mllm.prompt("", has_picture=True) == chat(items, shown)
    assert mllm.prompt("", has_picture=False) == chat(items, "NULL")
    assert mllm.prompt("red shoe", has_picture=False, by_words=True) == chat(words, "red shoe")


def test_qwen3_vl_embeddings_vector_is_that_of_the_last_token(qwen: Path) -> None:
    mllm = load_mllm(qwen, "cpu")
    texts = ["a", "a much longer text"]
    with torch.no_grad():
        batch = mllm.prepare([None, CHEQUERED], texts)
        found = mllm.forward_vectors(batch)
        for row, (picture, text) in enumerate(zip([None, CHEQUERED], texts, strict=True)):
            alone = mllm.prepare([picture], [text])
            ids = alone["input_ids"][0]
            assert mllm.processor.tokenizer.decode(ids[-1:]) == "<|endoftext|>"
            states = mllm.model(**alone).last_hidden_state
            assert torch.allclose(found[row], states[0, -1], atol=1e-5)


def test_a_query_with_words_is_asked_in_another_way_than_an_item(qwen: Path) -> None:
    encoder = load_mllm_encoder(qwen, NoJuice(), "cpu")
    (item,) = encoder.encode_items([None], ["shoe"])
    (query,) = encoder.encode_queries([None], ["shoe"])
    assert not np.allclose(item.vector, query.vector, atol=1e-3)
    (shown,), (wanted,) = encoder.encode_items([PLAIN], [""]), encoder.encode_queries([PLAIN], [""])
    assert wanted.vector == pytest.approx(shown.vector, abs=1e-6)


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((448, 448), (448, 448)),
        ((1000, 600), (992, 608)),
        ((8, 8), (64, 64)),
        ((8, 1000), (32, 992)),
        ((3000, 2000), (1632, 1088)),
        ((8, 2000), (448, 448)),
    ],
)
def test_pictures_keep_their_proportions_in_whole_tokens(
    shape: tuple[int, int], wanted: tuple[int, int]
) -> None:
    picture = np.zeros((*shape, 3), np.uint8)
    assert in_proportion(picture, 32).shape == (*wanted, 3)


def test_sizes_are_those_of_the_processor_of_transformers() -> None:
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    rng = np.random.default_rng(0)
    for height, width in rng.integers(16, 1500, (50, 2)).tolist():
        wanted = smart_resize(height, width, 32, 4 * 32 * 32, 1800 * 32 * 32)
        assert in_proportion(np.zeros((height, width, 3), np.uint8), 32).shape[:2] == wanted


@pytest.mark.parametrize(("dim", "length"), [(None, WIDTH), (16, 16)])
def test_a_vector_is_as_long_as_the_model_is_wide_or_shorter(
    qwen: Path, dim: int | None, length: int
) -> None:
    encoder = load_mllm_encoder(qwen, NoJuice(), "cpu", dim=dim)
    (item,) = encoder.encode_items([None], ["shoe"])
    assert item.vector.shape == (length,)
    assert f"-minilm-{length}-" in encoder.model_id


def test_a_longer_vector_than_the_model_has_is_refused(qwen: Path) -> None:
    with pytest.raises(WeightsError, match=r"models\.dim is 768.*have 32 values"):
        load_mllm_encoder(qwen, NoJuice(), "cpu", dim=768)


def test_another_model_without_a_known_way_to_be_asked_is_refused(
    qwen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.embedding.mllm.LAST_TOKEN_MODELS", ("another",))
    with pytest.raises(WeightsError, match="was trained to make embeddings is not known"):
        load_mllm(qwen, "cpu")
