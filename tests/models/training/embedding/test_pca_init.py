import json
from pathlib import Path

import pytest

from tests.needs import needs_torch

pytestmark = needs_torch()

import numpy as np
from PIL import Image

from models.backbone.load import load_backbone
from models.backbone.spec import named_backbone
from models.embedding.projection import load_projection, save_projection
from models.errors import PictureError, ProjectionError
from models.images.files import open_picture
from models.juicer.juicer import extract_features
from models.training.embedding.pca_init import MIN_PICTURES, fit_projection


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny backbone with local weights, as a user would name it."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(timm.create_model("test_efficientnet").state_dict(), path)
    return f"test_efficientnet:64:{path}"


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    rows = []
    for number in range(MIN_PICTURES):
        pixels = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((64, 48)).save(tmp_path / f"{number}.png")
        rows.append({"image": f"{number}.png", "split": "train"})
    rows.append({"image": "never-opened.png", "split": "test"})
    (tmp_path / "photos.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "products.jsonl").write_text(
        json.dumps({"product_id": "a", "title": "A blue mug", "description": "For coffee."})
    )
    return tmp_path


@pytest.mark.slow
def test_a_fitted_projection_encodes_pictures(catalog: Path, tiny: str) -> None:
    seen: list[tuple[int, int]] = []
    fitted = fit_projection([catalog], backbone=tiny, progress=lambda *step: seen.append(step))
    path = catalog / "tiny.safetensors"
    save_projection(fitted, path)
    backbone = load_backbone(named_backbone(tiny))
    (features,) = extract_features([open_picture(catalog / "0.png")], backbone, 64)
    read = load_projection(path, backbone.layout.widths)
    assert seen == [(done, MIN_PICTURES) for done in range(1, MIN_PICTURES + 1)]
    identity, *parts = read.project(features)
    assert identity is None
    for part, expected in zip(parts, list(fitted.project(features))[1:], strict=True):
        assert part is not None
        assert expected is not None
        assert np.linalg.norm(part) == pytest.approx(1, abs=1e-5)
        assert part @ expected == pytest.approx(1, abs=1e-3)
    assert read.card["pictures"] == {catalog.name: MIN_PICTURES}


def test_too_few_pictures_are_refused(catalog: Path, tiny: str) -> None:
    with pytest.raises(ProjectionError, match=f"needs {MIN_PICTURES} or more"):
        fit_projection([catalog], backbone=tiny, limit=MIN_PICTURES - 1)


def test_a_broken_picture_is_named(catalog: Path, tiny: str) -> None:
    (catalog / "7.png").write_bytes(b"no picture")
    with pytest.raises(PictureError, match=r"7\.png"):
        fit_projection([catalog], backbone=tiny)
