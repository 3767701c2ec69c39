"""Training an encoder on a catalog folder, from pictures to a file that serves."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.models.training.embedding.shop import (
    PRODUCTS,
    one_value,
    write_shop,
    write_tiny_backbone,
    write_weak_encoder,
)
from tests.needs import needs_torch

pytestmark = needs_torch()

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from models.arrays import Floats, unit
from models.backbone.spec import named_backbone
from models.catalog.folder import read_catalog
from models.curation.juicing import Way
from models.embedding.layout import picture_parts
from models.embedding.load import load_encoder
from models.embedding.pca import PrincipalAxes
from models.embedding.projection import has_identity_branch, load_projection
from models.errors import PictureError, TrainingError
from models.images.files import open_picture
from models.training.embedding.build_library import KNOWN_WEIGHT_FROM_PACKSHOTS
from models.training.embedding.dataset import TrainingConfig, prepare_training_data
from models.training.embedding.feature_cache import CacheSettings, FeatureCache, Source, build_cache
from models.training.embedding.identity_tower import IdentityTower, ViewFeatures
from models.training.embedding.initial_tower import initial_tower
from models.training.embedding.run_state import TrainableEncoder
from models.training.embedding.samples import MAX_DRAWS, collect_pictures
from models.training.embedding.train import TrainedEncoder, interpolate_weights, train_embedding
from models.training.embedding.validation import encode_rows, select_identity_weight
from models.weights.files import read_weights
from stream.child_process import python_module
from tests.paths import ROOT
from workers.jobs.juice import JuiceSettings, juice_folder

VIEWS = (8, 2)
"""Of a packshot and of a photo: few, for encoding them takes most of the time."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_tiny_backbone(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def trained(
    shop: Path, tiny: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, TrainedEncoder]:
    work = tmp_path_factory.mktemp("work")
    config = TrainingConfig(
        folders=(shop,), backbone=tiny, contrast_passes=0.1, passes=0.2, views=VIEWS
    )
    fitted = train_embedding(config, work, processes=1)
    fitted.save(work / "encoder.safetensors")
    return work, fitted


@pytest.mark.slow
def test_the_file_serves_the_vectors_that_were_trained(
    trained: tuple[Path, TrainedEncoder], shop: Path, tiny: str
) -> None:
    work, fitted = trained
    path = work / "encoder.safetensors"
    assert has_identity_branch(path)
    encoder = load_encoder("cpu", tiny, threads=1, projection=path)
    picture = open_picture(shop / "3.png")
    (served,) = encoder.encode_queries([picture], [None])
    config = TrainingConfig(folders=(shop,), backbone=tiny, start=path, views=(1, 1))
    data = prepare_training_data(config, work / "again", processes=1)
    tower, _ = initial_tower(data, identity_branch=True)
    names = [Path(source.path).name for source in data.pictures.sources]
    row = data.cache.clean_rows()[[names.index("3.png")]]
    (identity,) = unit(encode_rows(tower, data.cache, row))
    learned = identity, data.cache.appearances(row)[0], data.cache.colours(row)[0]
    for part, expected in zip(picture_parts(served.vector), learned, strict=True):
        assert part @ expected == pytest.approx(1, abs=1e-3)
    assert fitted.projection.card["identities"] == 70 - 18 - 17 + 1
    items = np.stack([one.vector for one in encoder.encode_items([picture], [None])])
    library = fitted.projection.library
    assert library is not None
    assert len(library.identities) == fitted.projection.card["identities"]
    assert encoder.part_weights(items).identity == pytest.approx(library.known_weight)


@pytest.mark.slow
def test_a_juiced_folder_can_be_trained_on(shop: Path, tiny: str, tmp_path: Path) -> None:
    """As the commands do it, one after the other: fewer pixels, the same products and splits."""
    juiced = tmp_path / "juiced"
    settings = JuiceSettings(way=Way.JUICE, keep=0.5, split="train", seed=0, model_id="m")
    found = juice_folder(shop, juiced, settings, load_encoder("cpu", "lite0"), lambda *_: None)
    assert found.counts["kept_pixels"] < found.counts["pixels"]
    config = TrainingConfig(
        folders=(juiced,),
        backbone=tiny,
        contrast_passes=0.1,
        passes=0.2,
        identity_branch=False,
        views=VIEWS,
    )
    pictures = collect_pictures([read_catalog(juiced)]).sources
    assert {Path(one.path).parent for one in pictures} == {shop, juiced / "juiced"}
    fitted = train_embedding(config, tmp_path / "work", processes=1)
    assert fitted.projection.card["identities"] == 70 - 18 - 17 + 1
    fitted.save(tmp_path / "encoder.safetensors")
    assert load_encoder("cpu", tiny, projection=tmp_path / "encoder.safetensors").dim == 768


@pytest.mark.slow
def test_the_maps_alone_can_be_trained(
    trained: tuple[Path, TrainedEncoder], shop: Path, tiny: str, tmp_path: Path
) -> None:
    axes = trained[0] / "axes.safetensors"
    config = TrainingConfig(
        folders=(shop,),
        backbone=tiny,
        start=axes,
        contrast_passes=0,
        passes=0.5,
        identity_branch=False,
        views=VIEWS,
    )
    fitted = train_embedding(config, tmp_path, processes=1)
    fitted.save(tmp_path / "maps.safetensors")
    assert not has_identity_branch(tmp_path / "maps.safetensors")
    before = load_projection(axes, [len(one.mean) for one in fitted.projection.depths])
    assert before.identity is None
    assert fitted.projection.identity is not None
    assert (before.appearance.matrix == fitted.projection.appearance.matrix).all()
    assert (before.colour.matrix == fitted.projection.colour.matrix).all()
    assert (tmp_path / "views" / "trunk.npy").stat().st_size < 1000


@pytest.mark.slow
def test_a_finished_run_is_not_run_again(
    trained: tuple[Path, TrainedEncoder], shop: Path, tiny: str
) -> None:
    work, fitted = trained
    seen: list[str] = []
    config = TrainingConfig(
        folders=(shop,), backbone=tiny, contrast_passes=0.1, passes=0.2, views=VIEWS
    )
    again = train_embedding(
        config, work, processes=1, progress=lambda what, done, total: seen.append(what)
    )
    assert not [what for what in seen if what.startswith("stage")]
    assert again.projection.identity is not None
    assert fitted.projection.identity is not None
    assert (again.projection.identity.matrix == fitted.projection.identity.matrix).all()


def test_identities_are_products_and_photos_of_unknown_products(shop: Path) -> None:
    pictures = collect_pictures([read_catalog(shop)])
    names = [Path(source.path).name for source in pictures.sources]
    by_name = dict(zip(names, pictures.ids.tolist(), strict=True))
    assert by_name["2.png"] == by_name["2-photo.png"]
    assert "0.png" not in names  # only in a photo of another split: held out
    assert "1.png" in names  # in no photo any more
    assert by_name["1-photo.png"] != by_name["1.png"]
    draws = dict(zip(names, pictures.draws.tolist(), strict=True))
    assert (draws["1.png"], draws["2.png"], draws["2-photo.png"]) == (MAX_DRAWS, 1, 1)
    assert sorted(set(by_name.values())) == list(range(pictures.identities))


def test_curated_labels_replace_those_of_the_catalog(shop: Path) -> None:
    clusters = {"2.png": "p2", "2-photo.png": "p3", "3.png": "p3"}
    pictures = collect_pictures([read_catalog(shop)], clusters=[clusters])
    names = [Path(source.path).name for source in pictures.sources]
    by_name = dict(zip(names, pictures.ids.tolist(), strict=True))
    assert by_name.keys() == clusters.keys()
    assert by_name["2-photo.png"] == by_name["3.png"] != by_name["2.png"]
    with pytest.raises(TrainingError, match="2 files of clusters for 1 catalogs"):
        collect_pictures([read_catalog(shop)], clusters=[clusters, clusters])


def test_some_of_the_pictures_have_identities_without_gaps(shop: Path) -> None:
    pictures = collect_pictures([read_catalog(shop)])
    some = pictures.select(
        np.array([5, 2, 2 + int(np.argmax(pictures.ids[3:] == pictures.ids[2])) + 1])
    )
    assert some.identities == 2
    assert some.ids[1] == some.ids[2] != some.ids[0]
    assert some.sources[0] == pictures.sources[5]


def test_identities_of_one_leaf_category_are_of_one_concept(shop: Path) -> None:
    catalog = read_catalog(shop)
    pictures = collect_pictures([catalog])
    names = [Path(source.path).name for source in pictures.sources]
    concept = dict(zip(names, pictures.concepts[pictures.ids].tolist(), strict=True))
    assert concept["2.png"] == concept["2-photo.png"] == concept["7.png"]  # 5 categories in turn
    assert concept["2.png"] != concept["3.png"]
    assert len({concept[name] for name in names} - {concept["1-photo.png"]}) == 5
    curated = collect_pictures(
        [catalog], clusters=[{"2-photo.png": "p3", "18.png": "p18", "7.png": "p7"}]
    )
    assert curated.concepts[0] == curated.concepts[1] != curated.concepts[2]  # p18, p3, p7
    again = pictures.select(np.arange(4, len(names)))
    assert again.concepts[again.ids].tolist() == [concept[name] for name in names[4:]]


@pytest.mark.slow
def test_a_share_of_the_initial_weights_can_be_kept(
    trained: tuple[Path, TrainedEncoder], shop: Path, tiny: str, tmp_path: Path
) -> None:
    axes = trained[0] / "axes.safetensors"
    config = TrainingConfig(
        folders=(shop,),
        backbone=tiny,
        start=axes,
        contrast_passes=0,
        passes=0.5,
        identity_branch=False,
        views=VIEWS,
    )
    none, whole = (
        train_embedding(replace(config, keep=share), tmp_path, processes=1).projection
        for share in (0.0, 1.0)
    )
    assert none.identity is not None
    assert whole.identity is not None
    first, _ = initial_tower(
        prepare_training_data(config, tmp_path, processes=1), identity_branch=False
    )
    initial = first.identity.weight.detach().numpy().T
    # Identities are rotated at the end, which leaves scalar products as they are.
    assert np.allclose(products(whole.identity.matrix), products(initial), atol=1e-4)
    assert not np.allclose(products(none.identity.matrix), products(initial), atol=1e-4)
    assert "--keep 1" in str(whole.card["command"])


def products(matrix: Floats) -> Floats:
    return matrix @ matrix.T


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_weights_are_interpolated(share: float) -> None:
    here, there = (
        IdentityTower(
            PrincipalAxes(np.full(3, value, np.float32), np.full((3, 2), value, np.float32))
        )
        for value in (1.0, 3.0)
    )
    before = {name: value.clone() for name, value in here.state_dict().items()}
    interpolate_weights(here, there.state_dict(), share)
    for name, value in here.state_dict().items():
        expected = (1 - share) * before[name] + share * there.state_dict()[name]
        assert torch.allclose(value, expected)


@pytest.mark.slow
def test_without_validation_photos_the_weight_is_half(
    shop: Path, tiny: str, tmp_path: Path
) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    for name in ("products.jsonl", *(f"{number}.png" for number in range(PRODUCTS))):
        (folder / name).write_bytes((shop / name).read_bytes())
    config = TrainingConfig(
        folders=(folder,),
        backbone=tiny,
        contrast_passes=0,
        passes=0.1,
        identity_branch=False,
        views=(2, 1),
    )
    library = train_embedding(config, tmp_path / "work", processes=1).projection.library
    assert library is not None
    assert library.known_weight == KNOWN_WEIGHT_FROM_PACKSHOTS
    assert len(library.identities) == PRODUCTS - 14  # for the exam


class Untrained(TrainableEncoder):
    """Identities are the whitened features, or random."""

    def __init__(self, random: bool) -> None:
        super().__init__()
        self._random = random

    def encode(self, inputs: ViewFeatures) -> Tensor:
        rng = np.random.default_rng(len(inputs.whitened))
        drawn = rng.normal(size=inputs.whitened.shape).astype(np.float32)
        return torch.from_numpy(drawn if self._random else inputs.whitened)


@pytest.mark.slow
def test_the_identity_weight_is_selected_by_validation_photos(
    trained: tuple[Path, TrainedEncoder], shop: Path, tiny: str
) -> None:
    config = TrainingConfig(
        folders=(shop,), backbone=tiny, contrast_passes=0.1, passes=0.2, views=VIEWS
    )
    data = prepare_training_data(config, trained[0], processes=1)
    assert data.task_cache is not None
    # Where all pictures look alike: all of it. At random, where they do not: hardly any.
    cache, axes = data.task_cache, data.cache.projection
    alike = replace(
        axes, appearance=one_value(axes.appearance), fine_colour=one_value(axes.fine_colour)
    )
    blurred = cache.with_projection(alike)
    assert select_identity_weight(Untrained(random=False), blurred, data.tasks) == 1
    assert select_identity_weight(Untrained(random=True), cache, data.tasks) < 0.7


def lookstream(*words: str, **models: str) -> subprocess.CompletedProcess[bytes]:
    """The command in a process of its own, as from a shell, with settings of `models`."""
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    settings = {"device": "cpu", **models}
    environment |= {f"LOOKSTREAM_MODELS__{key.upper()}": value for key, value in settings.items()}
    return subprocess.run(
        python_module("workers.cli", *words),
        env=os.environ | environment,
        capture_output=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_two_ranks_learn_what_one_process_learns(tiny: str, tmp_path: Path) -> None:
    shop = write_shop(tmp_path, ground=255)
    start = write_weak_encoder(shop, tiny, tmp_path / "start.safetensors")
    words = ["train", "embedding", str(shop), "--backbone", tiny, "--no-identity-branch"]
    words += ["--start", str(start), "--views", "2", "2", "--json"]
    words += ["--contrast-passes", "1", "--passes", "1", "--work", str(tmp_path / "work")]
    for ranks, name in ((1, "one"), (2, "two")):
        out = str(tmp_path / f"{name}.safetensors")
        done = lookstream(*words, "--ranks", str(ranks), "--out", out)
        assert done.returncode == 0, done.stderr.decode()
        assert json.loads(done.stdout)["out"] == out
    one, two = (read_weights(tmp_path / f"{name}.safetensors") for name in ("one", "two"))
    assert two[1] == one[1]
    assert two[0].keys() == one[0].keys()
    (identity, other), (library, other_library) = (
        [tensors[name].astype(np.float32) for tensors, _ in (one, two)]
        for name in ("identity.matrix", "library")
    )
    # So few pictures leave the last axes to chance.
    assert np.allclose(identity[:, :32], other[:, :32], atol=0.01 * np.abs(identity).max())
    assert np.allclose(library @ library.T, other_library @ other_library.T, atol=0.01)
    checkpoints = {path.name for path in (tmp_path / "work").iterdir() if path.is_file()}
    assert checkpoints == {"checkpoint", "checkpoint-0-of-2", "checkpoint-1-of-2"}


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_catalog_of_pictures_alone_goes_all_the_way(tiny: str, tmp_path: Path) -> None:
    shop = write_shop(tmp_path, photos=False)
    start = write_weak_encoder(shop, tiny, tmp_path / "start.safetensors")
    encoder, parameters = tmp_path / "encoder.safetensors", tmp_path / "reranker.json"
    words = ["train", "embedding", str(shop), "--backbone", tiny, "--no-identity-branch", "--json"]
    words += ["--start", str(start), "--views", "8", "1", "--passes", "20", "--out", str(encoder)]
    done = lookstream(*words)
    assert done.returncode == 0, done.stderr.decode()
    report = json.loads(done.stdout)
    (before, after) = (report["exam"]["catalogs"][0][key]["i_hr_1"] for key in ("before", "after"))
    assert before < after
    assert report["plan"]["catalogs"][0]["left_out"][0]["reason"] == "kept for the exam"
    said = done.stderr.decode()
    assert said.index("exam by views of 14 products") < said.index("encoding views")
    assert said.index("encoding views") < said.index("exam of")
    models = {"backbone": tiny, "projection": str(encoder)}
    done = lookstream("train", "reranker", str(shop), "--out", str(parameters), **models)
    assert done.returncode == 0, done.stderr.decode()
    assert "views of the products' pictures" in done.stderr.decode()
    models["reranker"] = str(parameters)
    done = lookstream("evaluate", str(shop), "--json", **models)
    assert done.returncode == 0, done.stderr.decode()
    evaluated = json.loads(done.stdout)
    assert evaluated["queries"] == PRODUCTS
    notes = "\n".join(evaluated["notes"])
    assert "views of the products' own pictures are the queries" in notes
    assert "no reranker was fitted" not in notes


@pytest.mark.slow
def test_a_rank_that_fails_ends_the_others(tmp_path: Path) -> None:
    done = lookstream("train", "embedding", "nowhere", "--ranks", "2", "--out", str(tmp_path / "e"))
    assert done.returncode == 1
    assert "nowhere is no catalog folder" in done.stderr.decode()
    assert not list(tmp_path.iterdir())


def test_a_catalog_of_one_product_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    (tmp_path / "products.jsonl").write_text(json.dumps({"product_id": "a", "image": "a.png"}))
    with pytest.raises(TrainingError, match="fewer than two"):
        collect_pictures([read_catalog(tmp_path)])


@pytest.mark.slow
def test_features_in_the_cache_are_not_computed_again(
    trained: tuple[Path, TrainedEncoder], shop: Path, tiny: str
) -> None:
    work, _ = trained
    sources = [Source(str(shop / f"{number}.png"), 2) for number in range(4)]
    recorded, axes = CacheSettings(named_backbone(tiny)), trained[1].projection
    folder = work / "some"
    store = build_cache(folder, sources, recorded, axes, processes=1)
    before = store.pooled_features(np.arange(8))
    steps: list[tuple[int, int]] = []
    build_cache(folder, sources, recorded, axes, processes=1, progress=lambda *s: steps.append(s))
    assert steps == [(4, 4)]
    done = np.load(folder / "done.npy", mmap_mode="r+")
    done[2] = 0
    done.flush()
    store = build_cache(folder, sources, recorded, axes, processes=1)
    assert isinstance(store, FeatureCache)
    assert (store.pooled_features(np.arange(8)) == before).all()
    fetched = store.fetch(np.array([5, 0])).whitened
    assert np.allclose(fetched, axes.whitened(before[[5, 0]]), atol=1e-6)
    assert (store.pooled_features(np.array([5, 0])) == before[[5, 0]]).all()
    some = store.select(np.array([3, 1]))
    assert len(some) == 4
    assert (some.pooled_features(np.arange(4)) == before[[6, 7, 2, 3]]).all()
    assert (some.select(np.array([1])).pooled_features(np.arange(2)) == before[2:4]).all()


@pytest.mark.slow
def test_a_picture_that_cannot_be_read_is_named(
    trained: tuple[Path, TrainedEncoder], tmp_path: Path, tiny: str
) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    bad = [Source(str(tmp_path / "bad.png"), 1)]
    with pytest.raises(PictureError, match=r"bad\.png"):
        build_cache(
            tmp_path / "store", bad, CacheSettings(named_backbone(tiny)), trained[1].projection
        )
