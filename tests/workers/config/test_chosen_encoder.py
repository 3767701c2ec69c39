"""What `reindex --backbone` chose holds until somebody changes the settings."""

from pathlib import Path

import pytest

from workers.config.chosen_encoder import NAME, choose, chosen_in, hand_over, keep_choice, models_of
from workers.config.settings import Settings
from workers.errors import SettingsError


def settings(folder: Path, **models: object) -> Settings:
    return Settings.model_validate({"data_dir": folder, "models": models})


def test_it_holds_in_place_of_the_settings_that_it_was_chosen_over(tmp_path: Path) -> None:
    before = settings(tmp_path, dim=256, projection="fitted.safetensors", reranker="r.json")
    assert models_of(before) == before.models
    choose(tmp_path, before.models, "siglip2-base")
    chosen = models_of(before)
    assert (chosen.backbone, chosen.dim, chosen.projection) == ("siglip2-base", None, None)
    assert chosen.reranker == before.models.reranker
    for changed in ({"dim": 256}, {"backbone": "lite0"}, {"projection": "other.safetensors"}):
        other = settings(tmp_path, **changed)
        assert models_of(other) == other.models


def test_it_goes_live_with_its_generation(tmp_path: Path) -> None:
    generation = tmp_path / "generations" / "reindex-1"
    generation.mkdir(parents=True)
    live = settings(tmp_path)
    choose(generation, live.models, "lite0")
    assert models_of(live).backbone == "lite2"
    hand_over(generation, live)
    assert models_of(live).backbone == "lite0"


def test_one_that_was_built_by_changed_settings_ends_it(tmp_path: Path) -> None:
    choose(tmp_path, settings(tmp_path).models, "siglip2-base")
    generation = tmp_path / "generations" / "reindex-1"
    generation.mkdir(parents=True)
    keep_choice(settings(tmp_path), generation)
    hand_over(generation, settings(tmp_path))  # the same encoder again
    assert models_of(settings(tmp_path)).backbone == "siglip2-base"
    keep_choice(settings(tmp_path, backbone="lite0"), generation)
    hand_over(generation, settings(tmp_path, backbone="lite0"))
    assert models_of(settings(tmp_path, backbone="lite0")).backbone == "lite0"
    assert models_of(settings(tmp_path)).backbone == "lite2"


def test_what_was_live_keeps_its_encoder_when_another_is_chosen(tmp_path: Path) -> None:
    live, previous = settings(tmp_path), tmp_path / "generations" / "previous-1"
    previous.mkdir(parents=True)
    keep_choice(live, previous)
    choose(tmp_path, live.models, "siglip2-base")
    kept = chosen_in(previous, live.models)
    assert kept == live.models
    hand_over(previous, live)
    assert models_of(live).backbone == "lite2"


def test_a_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("{")
    with pytest.raises(SettingsError, match="delete it"):
        chosen_in(tmp_path, settings(tmp_path).models)
