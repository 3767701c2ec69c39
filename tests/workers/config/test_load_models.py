"""The settings name an encoder and a reranker that fits it."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from models.errors import WeightsError
from tests.doubles.tiny_mllm import WIDTH, tiny_model, tiny_processor
from workers.config.load_models import encoder_of, reranker_of
from workers.config.sections import ModelSettings
from workers.config.settings import Settings
from workers.errors import SettingsError


def settings_with(encoder: str) -> Settings:
    return Settings(models=ModelSettings(encoder=encoder, device="cpu", threads=1))


def test_the_standard_encoder_has_its_reranker() -> None:
    settings = settings_with("standard")
    encoder = encoder_of(settings)
    assert reranker_of(settings, encoder).parameters.encoder == encoder.model_id


def test_a_vision_language_model_is_reached_by_a_setting(tmp_path: Path) -> None:
    processor = tiny_processor()
    tiny_model(processor).save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    settings = settings_with(f"mllm:{tmp_path}")
    encoder = encoder_of(settings)
    assert encoder.model_id.startswith("mllm-")
    assert not encoder.replaces_text
    picture = np.full((40, 40, 3), 120, np.uint8)
    (item,) = encoder.encode_items([picture], ["a grey square"])
    assert item.vector.shape == (WIDTH,)
    assert item.juice.has_picture  # the standard encoder's
    with pytest.raises(SettingsError, match="train reranker"):
        reranker_of(settings, encoder)


def test_a_folder_without_a_model_is_explained(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="safetensors"):
        encoder_of(settings_with(f"mllm:{tmp_path}"))


def test_an_unknown_encoder_is_refused() -> None:
    with pytest.raises(ValidationError, match="encoder"):
        settings_with("magic")
