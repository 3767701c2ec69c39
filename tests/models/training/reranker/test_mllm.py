"""Training a tiny Qwen3-VL to rerank, from catalog folder to folder that serves."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.needs import needs_torch

pytestmark = needs_torch()

import torch
from PIL import Image

from models.catalog.folder import read_catalog
from models.errors import RerankerError, TrainingError
from models.reranking.chunks import CHUNK_SIZE
from models.reranking.listwise_prompt import Question
from models.reranking.mllm import Passed, load_mllm_comparer
from models.training.reranker.mllm import MllmRecipe, schedule, train_mllm
from models.training.reranker.mllm_chunks import Pictures, chunks_of, hold_out
from models.training.reranker.mllm_losses import next_token_loss, right_answers, total_loss
from models.training.reranker.ranking_lists import make_ranking_lists
from models.weights.files import read_weights
from tests.doubles.colours import ColourEncoder
from tests.doubles.tiny_mllm import tiny_qwen3_vl

QUICK = MllmRecipe(epochs=3, batch=8, together=4, rate=3e-3, head_rate=3e-3, depth=8)


def write_catalog(folder: Path, products: int = 12) -> Path:
    """Products of plain colours in two categories, each with a photo of the split "train"."""
    folder.mkdir(exist_ok=True)
    lines: dict[str, list[dict[str, Any]]] = {"products": [], "photos": []}
    rng = np.random.default_rng(0)
    for number in range(products):
        colour = rng.integers(0, 255, 3)
        for kind, shift in (("product", 0), ("photo", 8)):
            pixels = np.full((32, 32, 3), np.clip(colour + shift, 0, 255), np.uint8)
            Image.fromarray(pixels).save(folder / f"{kind}{number}.png")
        path = ["Things", "Cups" if number % 2 else "Caps"]
        lines["products"].append(
            {
                "product_id": f"p{number}",
                "title": f"thing {number}",
                "category": path,
                "image": f"product{number}.png",
            }
        )
        lines["photos"].append(
            {"image": f"photo{number}.png", "product_id": f"p{number}", "split": "train"}
        )
    for name, rows in lines.items():
        text = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
        (folder / f"{name}.jsonl").write_bytes(text)
    return folder


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_catalog(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny-qwen")
    network, processor = tiny_qwen3_vl()
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def test_chunks_are_those_that_serve_with_each_products_level(catalog: Path) -> None:
    read = read_catalog(catalog)
    lists = make_ranking_lists(ColourEncoder(), read, None, depth=12)
    chunks = chunks_of(lists["both"], 0)
    assert len(chunks) == 12 * 2
    assert all(len(one.products) <= CHUNK_SIZE for one in chunks)
    for one in chunks:
        asked = one.query.photo.product_id
        found = [read.products[at].product_id for at in one.products]
        assert [level == 0 for level in one.levels] == [name == asked for name in found]
        assert set(one.levels) <= {0, 1, 2}
    learned, held = hold_out(chunks)
    assert held
    names = [{one.query.photo.product_id for one in some} for some in (learned, held)]
    assert not names[0] & names[1]


def test_a_question_has_the_pictures_of_query_and_products(catalog: Path) -> None:
    read = read_catalog(catalog)
    lists = make_ranking_lists(ColourEncoder(), read, None, depth=3)
    pictures = Pictures([read])
    question = pictures.question(chunks_of(lists["both"], 0)[0])
    assert question.picture is not None
    assert question.text
    assert all(one is not None for one in question.pictures)
    assert pictures.question(chunks_of(lists["text"], 0)[0]).picture is None
    assert not pictures.question(chunks_of(lists["picture"], 0)[0]).text
    (catalog / "product3.png").rename(catalog / "away.png")
    try:
        again = Pictures([read])
        shown = [again.question(one).pictures for one in chunks_of(lists["picture"], 0)]
        assert any(picture is None for pictures_of_one in shown for picture in pictures_of_one)
    finally:
        (catalog / "away.png").rename(catalog / "product3.png")


def passed(scores: list[list[float]], null: list[float]) -> Passed:
    vocabulary = torch.full((len(scores), 20), -100.0)
    vocabulary[:, : len(scores[0])] = torch.tensor(scores)
    vocabulary[:, 15] = torch.tensor(null)
    levels = torch.zeros((len(scores), len(scores[0]), 4))
    return Passed(torch.tensor(scores), torch.tensor(null), levels, vocabulary)


def test_the_next_token_is_the_index_of_the_product_or_null() -> None:
    levels = torch.tensor([[1, 0, 3], [1, 2, 3]])
    present = torch.tensor([[1, 1, 1], [1, 1, 0]])
    one = passed([[0.0, math.log(2), 0.0], [0.0, 0.0, 50.0]], [0.0, math.log(3)])
    loss = next_token_loss(one.vocabulary[:1], levels[:1], present[:1], range(10), 15)
    assert float(loss) == pytest.approx(-math.log(2 / 5), abs=1e-4)
    assert right_answers(one, levels, present).tolist() == [True, True]
    wrong = passed([[3.0, 1.0, 0.0], [0.0, 4.0, 0.0]], [0.0, 3.0])
    assert right_answers(wrong, levels, present).tolist() == [False, False]
    better = passed([[0.0, 3.0, 0.0], [0.0, 0.0, 0.0]], [2.0, 3.0])
    good, bad = (
        float(total_loss(some, levels, present, range(10), 15)) for some in (better, wrong)
    )
    assert good < bad


def test_rates_rise_and_fall() -> None:
    rates = [schedule(step, 100, 0.03) for step in range(100)]
    assert rates[:3] == pytest.approx([1 / 3, 2 / 3, 1])
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert 0 < rates[-1] < 0.01
    assert schedule(0, 1, 0.03) == 1


QUESTION = Question("thing 1", None, ("thing 1", "thing 2"), (np.zeros((9, 9, 3), np.uint8), None))


@pytest.mark.slow
@pytest.mark.parametrize("lora", [None, 4])
def test_the_loss_falls_and_what_is_written_serves(
    model: Path, catalog: Path, tmp_path: Path, lora: int | None
) -> None:
    if lora is not None:
        pytest.importorskip("peft", reason="the extra 'mllm-train' is not installed")
    recipe = replace(QUICK, lora=lora, epochs=6)
    seen: list[tuple[str, int, int]] = []
    report = train_mllm(
        model,
        [catalog],
        ColourEncoder(),
        tmp_path / "out",
        recipe,
        device="cpu",
        progress=lambda *one: seen.append(one),
    )
    assert report["last_loss"] < report["first_loss"]  # type: ignore[operator]
    held = report["held_out"]
    assert isinstance(held, dict)
    assert held["after"]["loss"] < held["before"]["loss"]
    steps = report["steps"]
    assert ("training", steps, steps) in seen
    assert {one for one, _, _ in seen} > {"training", "examining before", "examining after"}
    served = load_mllm_comparer(tmp_path / "out", "cpu")
    assert not served.note
    (compared,) = served.compare([QUESTION], math.inf)
    assert compared.probabilities is not None
    (untrained,) = load_mllm_comparer(model, "cpu").compare([QUESTION], math.inf)
    assert compared.scores != pytest.approx(untrained.scores, abs=1e-3)
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert not any("adapter" in name for name in names)
    assert not (tmp_path / "out-training").exists()
    _, card = read_weights(tmp_path / "out" / "absolute_head.safetensors")
    assert card["lora"] == lora
    assert card["catalogs"] == [catalog.name]


class Interrupted(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("lora", [None, 4])
def test_an_interrupted_run_ends_with_the_same_weights(
    model: Path, catalog: Path, tmp_path: Path, lora: int | None
) -> None:
    if lora is not None:
        pytest.importorskip("peft", reason="the extra 'mllm-train' is not installed")
    recipe = replace(QUICK, lora=lora, epochs=2, checkpoint_every=2)

    def train(to: str, stop_at: int | None = None) -> dict[str, object]:
        def stop(what: str, done: int, _total: int) -> None:
            if what == "training" and done == stop_at:
                raise Interrupted

        return train_mllm(
            model, [catalog], ColourEncoder(), tmp_path / to, recipe, device="cpu", progress=stop
        )

    whole = train("whole")
    with pytest.raises(Interrupted):
        train("again", stop_at=3)
    checkpoint = tmp_path / "again-training" / "checkpoint.safetensors"
    assert checkpoint.is_file()
    assert not (tmp_path / "again").exists()
    with pytest.raises(TrainingError, match=r"other options.*remove it"):
        train_mllm(
            model,
            [catalog],
            ColourEncoder(),
            tmp_path / "again",
            replace(recipe, epochs=3),
            device="cpu",
        )
    resumed = train("again")
    assert resumed["last_loss"] == whole["last_loss"]
    (one,), (other,) = (
        load_mllm_comparer(tmp_path / name, "cpu").compare([QUESTION], math.inf)
        for name in ("whole", "again")
    )
    assert one.scores.tolist() == other.scores.tolist()
    damaged = tmp_path / "third-training" / "checkpoint.safetensors"
    damaged.parent.mkdir()
    damaged.write_bytes(b"damaged")
    with pytest.raises(TrainingError, match="cannot be resumed"):
        train("third")


def test_what_is_there_is_not_overwritten(model: Path, catalog: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="is there already"):
        train_mllm(model, [catalog], ColourEncoder(), tmp_path)


def test_a_folder_without_pictures_teaches_nothing(model: Path, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "products.jsonl").write_text('{"product_id": "p", "title": "x", "category": ["a"]}\n')
    with pytest.raises(RerankerError, match="no photo"):
        train_mllm(model, [shop], ColourEncoder(), tmp_path / "out")


def test_a_missing_extra_is_said_before_anything_is_encoded(
    model: Path, catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.training.reranker.mllm.find_spec", lambda _name: None)
    encoder = ColourEncoder()
    with pytest.raises(TrainingError, match=r"lookstream\[mllm-train\]"):
        train_mllm(model, [catalog], encoder, tmp_path / "out", replace(QUICK, lora=4))
    assert not encoder.encoded
