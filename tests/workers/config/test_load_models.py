"""The settings name an encoder and a reranker that fits it."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.embedding.load import encoder_id
from models.errors import ProjectionError, RerankerError, WeightsError
from models.reranking.linear import Reranker, load_reranker
from models.reranking.similarity import SimilarityReranker
from models.training.reranker.linear import write_parameters
from workers.config.load_models import encoder_of, model_id_of, reranker_for, reranker_of
from workers.config.sections import ModelSettings
from workers.config.settings import Settings


def settings_with(backbone: str, **models: object) -> Settings:
    given = {"backbone": backbone, "device": "cpu", "threads": 1, **models}
    return Settings.model_validate({"models": given})


def test_the_standard_encoder_has_its_reranker() -> None:
    settings = settings_with("lite2")
    encoder = encoder_of(settings)
    reranker = reranker_of(settings, encoder)
    assert isinstance(reranker, Reranker)
    assert reranker.parameters.encoder == encoder.model_id
    assert not reranker.note


@pytest.mark.torch
def test_a_vision_language_model_is_reached_by_a_setting(tmp_path: Path) -> None:
    from tests.doubles.tiny_mllm import WIDTH, tiny_qwen3_vl_embedding

    folder = tiny_qwen3_vl_embedding(tmp_path / "Tiny-VL-1B")
    settings = settings_with(str(folder))
    encoder = encoder_of(settings)
    assert encoder.model_id.startswith(f"Tiny_VL_1B-minilm-{WIDTH}-")
    assert encoder.model_id == model_id_of(settings)
    assert not encoder.replaces_text
    picture = np.full((40, 40, 3), 120, np.uint8)
    (item,) = encoder.encode_items([picture], ["a grey square"])
    assert item.vector.shape == (WIDTH,)
    assert item.juice.has_picture  # the standard encoder's
    reranker = reranker_of(settings, encoder)
    assert isinstance(reranker, SimilarityReranker)
    assert "train reranker" in reranker.note


def fitted_on(encoder: str, path: Path) -> Path:
    """The packaged parameters as if they had been fitted on another encoder."""
    parameters = load_reranker().parameters
    write_parameters(msgspec.structs.replace(parameters, encoder=encoder), path)
    return path


def with_reranker(path: Path | None, backbone: str = "lite2") -> Settings:
    return Settings(models=ModelSettings(reranker=path and str(path), backbone=backbone))


OTHER = "lite2-minilm-512-00000000"


def test_what_fits_best_serves(tmp_path: Path) -> None:
    ours, shorter = encoder_id(), encoder_id(dim=128)
    mine = fitted_on(OTHER, tmp_path / "mine.json")
    for path, model_id, note in (
        (None, ours, ""),
        (mine, OTHER, ""),
        (mine, ours, "mine.json is for another encoder: reranker-lite2.json is used"),
        (None, shorter, f"reranker-lite2.json was fitted on vectors of another length ({ours})"),
        (mine, shorter, "reranker-lite2.json was fitted on vectors of another length"),
        (mine, "lite2-minilm-64-00000000", "mine.json was fitted on vectors of another length"),
    ):
        reranker = reranker_for(with_reranker(path), model_id)
        assert isinstance(reranker, Reranker)
        assert note in reranker.note
        assert bool(note) == bool(reranker.note)


@given(
    st.from_regex(r"[a-z0-9:/.-]{1,20}", fullmatch=True),
    st.booleans(),
    st.sampled_from(["lite2", "lite0", "resnet50:224:/nowhere/weights.pth"]),
)
def test_no_encoder_is_without_a_reranker(
    tmp_path_factory: pytest.TempPathFactory, model_id: str, named: bool, backbone: str
) -> None:
    path = fitted_on(OTHER, tmp_path_factory.getbasetemp() / "other.json") if named else None
    reranker = reranker_for(with_reranker(path, backbone), model_id)
    assert isinstance(reranker, SimilarityReranker)
    assert model_id in reranker.note
    assert "lookstream train reranker DIR --out FILE" in reranker.note
    assert ("other.json is for" in reranker.note) == named


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RerankerError, match=r"missing\.json is missing"):
        reranker_for(with_reranker(tmp_path / "missing.json"), OTHER)


def test_a_vision_language_folder_without_weights_is_explained(tmp_path: Path) -> None:
    config = {"image_token_id": 7, "text_config": {"hidden_size": 32}}
    (tmp_path / "config.json").write_bytes(msgspec.json.encode(config))
    with pytest.raises(WeightsError, match=r"\*\.safetensors are needed"):
        model_id_of(settings_with(str(tmp_path)))
    with pytest.raises(ProjectionError, match="takes none"):
        model_id_of(settings_with(str(tmp_path), projection="fitted.safetensors"))


def test_a_length_that_only_vision_language_models_have_is_refused() -> None:
    with pytest.raises(WeightsError, match="at most 768 values"):
        encoder_of(settings_with("lite2", dim=2048))
