from pathlib import Path
from typing import Any

import pytest

from tests.needs import needs_torch

pytestmark = needs_torch()

import numpy as np
import timm
import torch
from safetensors.torch import save_file

from models.arrays import Floats
from models.backbone.cuda import FIXED_BATCH, TorchBackbone
from models.backbone.export import export
from models.backbone.load import load_backbone
from models.backbone.patch_network import patch_network
from models.backbone.spec import BACKBONES, BackboneSpec, named_backbone
from models.errors import WeightsError

TINY = BackboneSpec("test_efficientnet", None, 96)
"""A real architecture with 0.36 M random weights."""


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOOKSTREAM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def pictures(count: int, size: int) -> Floats:
    return np.random.default_rng(0).normal(size=(count, 3, size, size)).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet", "test_vit"])
def test_onnx_and_torch_agree_on_any_architecture(name: str) -> None:
    spec = BackboneSpec(name, None, 160 if name == "test_vit" else 96)
    network, layout = patch_network(spec)
    backbone = load_backbone(spec, threads=1)
    batch = pictures(2, spec.size)
    found = backbone.patches(batch)
    assert backbone.layout.grid == layout.grid
    assert backbone.layout.widths == layout.widths
    assert found.shape == (2, layout.grid[0] * layout.grid[1], sum(layout.widths))
    both, expected = backbone.trunks(batch), network(torch.from_numpy(batch))
    assert (both[0] == found).all()
    for one, other in zip(both, expected, strict=True):
        assert np.abs(one - other.numpy()).max() <= 1e-4 * max(1.0, np.abs(one).max())


def test_patches_are_adaptive_averages_of_the_maps() -> None:
    network, _ = patch_network(TINY)
    batch = torch.from_numpy(pictures(1, TINY.size))
    shallow = network.maps(batch)[0]
    pooled = torch.nn.functional.adaptive_avg_pool2d(shallow, network.grid)
    rows = network(batch)[0][..., : network.widths[0]]
    assert torch.allclose(rows, pooled.flatten(2).transpose(1, 2), atol=1e-4)


@pytest.mark.slow
def test_a_picture_has_the_same_bytes_in_any_batch_and_on_any_threads() -> None:
    batch = pictures(5, TINY.size)
    together = load_backbone(TINY, threads=1).patches(batch)
    threaded = load_backbone(TINY, threads=2)
    alone = np.concatenate([threaded.patches(one[None]) for one in batch[::-1]])
    assert together.tobytes() == alone[::-1].tobytes()


@pytest.mark.slow
def test_half_precision_is_near_and_does_not_depend_on_the_batch() -> None:
    batch = pictures(FIXED_BATCH + 2, TINY.size)
    half, full = TorchBackbone(TINY, "cpu"), load_backbone(TINY)
    found = half.patches(batch)
    assert found[-1].tobytes() == half.patches(batch[-1:])[0].tobytes()
    expected = full.patches(batch[:4])
    for seen, right in zip(found, expected, strict=False):
        cosines = (seen * right).sum(axis=1)
        cosines /= np.linalg.norm(seen, axis=1) * np.linalg.norm(right, axis=1)
        assert cosines.min() > 0.999


@pytest.mark.slow
def test_no_pictures_give_no_rows() -> None:
    backbone = load_backbone(TINY)
    assert backbone.patches(pictures(0, TINY.size)).shape[0] == 0


@pytest.mark.slow
def test_two_processes_may_export_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "graph"
    export(TINY, folder)
    written = (folder / "network.onnx").stat()
    export(TINY, folder)
    assert (folder / "network.onnx").stat() == written
    assert list(tmp_path.iterdir()) == [folder]


def test_a_cache_that_cannot_be_written_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LOOKSTREAM_CACHE", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match="set LOOKSTREAM_CACHE"):
        load_backbone(TINY)


def test_depths_split_the_rows() -> None:
    layout = load_backbone(TINY).layout
    rows = np.arange(2 * sum(layout.widths), dtype=np.float32).reshape(2, -1)
    split = layout.depths(rows)
    assert tuple(part.shape[1] for part in split) == layout.widths
    assert (np.concatenate(split, axis=1) == rows).all()


def test_local_weights_are_used_and_change_the_fingerprint(tmp_path: Path) -> None:
    torch.manual_seed(1)
    path = tmp_path / "weights.safetensors"
    save_file(timm.create_model(TINY.timm_name).state_dict(), path)
    spec = BackboneSpec(TINY.timm_name, path, TINY.size)
    assert spec.fingerprint() != TINY.fingerprint()
    batch = torch.from_numpy(pictures(1, TINY.size))
    rows, _ = patch_network(spec)[0](batch)
    assert not torch.allclose(rows, patch_network(TINY)[0](batch)[0])


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"other": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="does not fit test_efficientnet"):
        patch_network(BackboneSpec(TINY.timm_name, path, TINY.size))


def test_other_networks_see_pictures_as_they_were_trained() -> None:
    network, _ = patch_network(BackboneSpec("test_resnet", None, 96))
    trained: Any = timm.create_model("test_resnet").pretrained_cfg
    bytes_ = torch.randint(0, 256, (1, 3, 96, 96)).float()
    wanted = (bytes_ / 255 - torch.tensor(trained["mean"]).view(3, 1, 1)) / torch.tensor(
        trained["std"]
    ).view(3, 1, 1)
    seen = (bytes_ - 127) / 128 * network.gain + network.offset
    assert torch.allclose(seen, wanted, atol=1e-5)
    assert network.renormalised


def test_a_backbone_is_named_or_spelled_out() -> None:
    assert named_backbone("lite2") is BACKBONES["lite2"]
    spelled = BackboneSpec("resnet50", Path("/data/r50.pth"), 224)
    assert named_backbone("resnet50:224:/data/r50.pth") == spelled
    for wrong in ("resnet50", "resnet50:big:/x", "resnet50:224"):
        with pytest.raises(WeightsError, match="use lite2 or lite0, an encoder of"):
            named_backbone(wrong)


def test_networks_of_a_hub_are_not_trained(tmp_path: Path) -> None:
    for name in ("siglip2-base", "hf:shop/encoder", str(tmp_path)):
        with pytest.raises(WeightsError, match=r"cannot be trained.*train rotation"):
            named_backbone(name)


def test_unknown_networks_and_devices_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="timm knows no network 'no_such_network'"):
        patch_network(BackboneSpec("no_such_network", None, 96))
    with pytest.raises(WeightsError, match="use 'cpu' or 'cuda'"):
        load_backbone(TINY, device="tpu")
    with pytest.raises(WeightsError, match="no weights for"):
        BackboneSpec(TINY.timm_name, tmp_path / "none.pth", 96).fingerprint()


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_the_packaged_weights_fit_timm(name: str) -> None:
    network, layout = patch_network(BACKBONES[name])
    assert layout.grid == {"lite2": (9, 9), "lite0": (7, 7)}[name]
    assert len(layout.labels) == 1000
    assert all(parameter.isfinite().all() for parameter in network.parameters())
