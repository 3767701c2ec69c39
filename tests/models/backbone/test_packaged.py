"""The networks that come with the package: whole, small, and what a fresh export would give."""

from pathlib import Path

import numpy as np
import pytest

from models.backbone.exported import BRANCH_GRAPH, LAYOUT, NETWORK_GRAPH, branch_weights
from models.backbone.load import load_backbone
from models.backbone.spec import BACKBONES, NETWORK
from models.embedding.load import packaged_weights
from models.errors import WeightsError
from models.weights import WEIGHTS

LIMIT_MB = 40


def test_all_weights_together_are_small() -> None:
    size = sum(file.stat().st_size for file in WEIGHTS.rglob("*") if file.is_file())
    assert size < LIMIT_MB * 1e6


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_a_fresh_export_gives_the_same_files(name: str, tmp_path: Path) -> None:
    from models.backbone.efficientnet_lite import export_packaged

    fresh, packaged = tmp_path / name, BACKBONES[name].exported
    assert packaged is not None
    export_packaged(name, fresh)
    for file in (NETWORK, NETWORK_GRAPH, BRANCH_GRAPH, LAYOUT):
        assert (fresh / file).read_bytes() == (packaged / file).read_bytes(), file
    with pytest.raises(WeightsError, match="is there already"):
        export_packaged(name, fresh)


@pytest.mark.torch
@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_what_is_served_is_what_torch_computes(name: str) -> None:
    import torch

    from models.backbone.patch_network import patch_network

    spec = BACKBONES[name]
    pictures = np.random.default_rng(0).normal(size=(2, 3, spec.size, spec.size)).astype("f4")
    network, layout = patch_network(spec)
    served = load_backbone(spec)
    found, expected = served.trunks(pictures), network(torch.from_numpy(pictures))
    for one, other in zip(found, expected, strict=True):
        assert np.abs(one - other.numpy()).max() <= 1e-4 * max(1.0, np.abs(one).max())
    assert served.layout.labels == layout.labels
    assert served.layout.classifier is not None
    assert layout.classifier is not None
    assert np.array_equal(served.layout.classifier[0], layout.classifier[0])


def test_the_packaged_identity_branch_fits_its_network() -> None:
    path = packaged_weights("lite2")
    assert branch_weights(path)
    assert not branch_weights(packaged_weights("lite0"))
