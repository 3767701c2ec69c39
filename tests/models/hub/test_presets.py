"""The presets: what they pin, and that they tell the truth of the class they name."""

from math import prod
from typing import TYPE_CHECKING

import pytest

from models.errors import HubError
from models.hub.names import is_commit, is_hub_name, source_of
from models.hub.presets import PRESETS, Preset

if TYPE_CHECKING:
    from torch import nn


def test_each_is_pinned_to_a_commit_and_names_its_licence() -> None:
    for preset in PRESETS.values():
        assert is_commit(preset.revision)
        assert preset.sha256 is None or len(preset.sha256) == 64
        assert preset.weights.endswith(".safetensors")
        assert preset.licence
        assert bool(preset.languages) == (preset.kind != "vision")
        assert preset.picture_parameters <= preset.parameters


def test_a_word_stands_for_its_pinned_commit() -> None:
    source = source_of("siglip2-base")
    assert (source.repo, source.pinned) == ("google/siglip2-base-patch16-224", True)


def test_other_names_say_repository_and_revision() -> None:
    assert source_of("hf:shop/encoder").revision == "main"
    assert source_of("hf:shop/encoder@v1.2").revision == "v1.2"
    timm = source_of("timm:resnet50.a1_in1k")
    assert (timm.repo, timm.revision) == ("timm/resnet50.a1_in1k", "main")
    assert source_of("hf:shop/encoder@v1.2+int8") == source_of("hf:shop/encoder@v1.2")
    assert is_hub_name("siglip2-base+int8")
    assert not is_hub_name("resnet50:224:/data/resnet50.safetensors")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(HubError, match=r"dinov2-small.*hf:OWNER/NAME"):
        source_of("siglip9")


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_parameters_are_those_of_the_class(preset: Preset) -> None:
    assert _counted(preset) == (preset.parameters, preset.picture_parameters)


def _counted(preset: Preset) -> tuple[int, int]:
    """All parameters of a preset's class, and those of its picture tower; takes no memory."""
    import torch

    from models.hub.architecture import picture_tower, whole_network

    with torch.device("meta"):
        whole, pictures = whole_network(preset), picture_tower(preset)
    return _size(whole), _size(pictures)


def _size(network: "nn.Module") -> int:
    return sum(prod(one.shape) for one in network.parameters())
