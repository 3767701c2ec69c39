from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.arrays import Floats
from models.embedding.identity_library import IdentityLibrary
from models.embedding.pca import PrincipalAxes
from models.embedding.projection import FORMAT, Projection, load_projection, save_projection
from models.errors import ProjectionError
from models.images.letterbox import Frame
from models.juicer.juicer import PictureFeatures
from models.juicer.objects import WHOLE, Products
from models.training.embedding.fit_pca import fit_principal_axes
from models.weights.files import read_weights, write_weights

WIDTHS = (6, 8)


def rows(count: int, width: int, seed: int = 0) -> Floats:
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(count, width)) @ random.normal(size=(width, width)) + 3
    return mixed.astype(np.float32)


def small_projection() -> Projection:
    def axes(source: int, target: int) -> PrincipalAxes:
        return fit_principal_axes([rows(100, source)], target, 1.0)

    return Projection(
        depths=tuple(axes(width, 4) for width in WIDTHS),
        colour=axes(5, 3),
        appearance=axes(sum(WIDTHS), 7),
        fine_colour=axes(10, 6),
        tokens=axes(6, 4),
        card={"backbone": "tiny"},
    )


def picture_features() -> PictureFeatures:
    return PictureFeatures(
        frame=Frame(0, 0, 1, 1),
        saliency=np.ones(4, np.float32),
        pooled=tuple(rows(1, width)[0] for width in WIDTHS),
        identity=rows(1, 9)[0],
        cells=rows(4, 6),
        colour=rows(1, 5)[0],
        fine_colour=rows(1, 10)[0],
        products=Products(np.ones(4, np.float32), (), WHOLE),
    )


def test_whitening_without_shrinkage_gives_unit_covariance() -> None:
    data = rows(4000, 6)
    white = fit_principal_axes([data], 6, 0.0)(data)
    assert np.allclose(np.cov(white.T, bias=True), np.eye(6), atol=1e-2)


def test_without_whitening_axes_only_rotate() -> None:
    data = rows(500, 6)
    turned = fit_principal_axes([data], 6, None)(data)
    centred = data - data.mean(axis=0)
    assert np.allclose(turned @ turned.T, centred @ centred.T, rtol=1e-3, atol=1e-2)


def test_every_source_counts_the_same() -> None:
    many, few = rows(1000, 4, 1), rows(10, 4, 2)
    fitted = fit_principal_axes([many, few], 4, None)
    assert np.allclose(fitted.mean, (many.mean(axis=0) + few.mean(axis=0)) / 2, atol=1e-4)


def test_a_fit_is_reproducible() -> None:
    assert (
        fit_principal_axes([rows(50, 6)], 6, 1.0).matrix
        == fit_principal_axes([rows(50, 6)], 6, 1.0).matrix
    ).all()


def test_no_more_axes_than_rows() -> None:
    assert fit_principal_axes([rows(3, 8)], 8, 1.0).matrix.shape == (8, 3)


def test_a_projection_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "tiny.safetensors"
    written = small_projection()
    save_projection(written, path)
    read = load_projection(path, WIDTHS)
    picture = picture_features()
    assert read.card == {"backbone": "tiny"}
    assert read.library is None
    identity, *parts = read.project(picture)
    assert identity is None
    for part, expected in zip(parts, list(written.project(picture))[1:], strict=True):
        assert part is not None
        assert expected is not None
        assert np.linalg.norm(part) == pytest.approx(1, abs=1e-5)
        assert part @ expected == pytest.approx(1, abs=1e-3)
    assert np.allclose(read.patch_tokens(picture), written.patch_tokens(picture), atol=1e-2)


def test_trained_maps_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    trained = replace(
        small_projection(),
        branch=fit_principal_axes([rows(100, 9)], 5, 1.0),
        identity=fit_principal_axes([rows(100, 16)], 6, None),
        library=IdentityLibrary(np.eye(6, dtype=np.float32)[:2], known_weight=0.7),
    )
    save_projection(trained, path)
    read = load_projection(path, WIDTHS)
    assert read.card == {"backbone": "tiny"}
    assert read.library is not None
    assert read.library.known_weight == 0.7
    assert (read.library.identities == np.eye(6)[:2]).all()
    picture = picture_features()
    found, expected = read.project(picture).identity, trained.project(picture).identity
    assert found is not None
    assert expected is not None
    assert found @ expected == pytest.approx(1, abs=1e-3)


def test_a_file_of_an_earlier_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    save_projection(small_projection(), path)
    tensors, card = read_weights(path)
    write_weights(path, tensors, card | {"format": FORMAT - 1})
    with pytest.raises(ProjectionError, match=r"another version; .*`lookstream train embedding"):
        load_projection(path, WIDTHS)


def test_a_projection_of_another_backbone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    save_projection(small_projection(), path)
    with pytest.raises(ProjectionError, match=r"\[6, 8\].*\[6, 9\].*lookstream train embedding"):
        load_projection(path, (6, 9))


def test_a_missing_or_damaged_projection_says_how_to_make_one(tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    with pytest.raises(ProjectionError, match=r"no projection at .*`lookstream train embedding"):
        load_projection(path, WIDTHS)
    save_projection(small_projection(), path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ProjectionError, match="cannot be read"):
        load_projection(path, WIDTHS)
