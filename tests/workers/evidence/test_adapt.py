"""A live catalog is adapted, queries follow, and it is undone."""

import asyncio
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from PIL import Image
from typer.testing import CliRunner

from models.arrays import Floats, unit
from models.embedding.adapt import MIN_PRODUCTS, Exam
from models.embedding.layout import (
    AS_COMPOSED,
    PartWeights,
    PictureParts,
    compose_item,
    query_for_item,
)
from models.embedding.protocol import CatalogEncoder, Encoded
from models.errors import AdaptationError
from models.images.letterbox import Picture
from models.juicer.juice import Juice
from stream.delivery import Delivery
from stream.records import Record
from tests.doubles.colours import ColourEncoder
from tests.paths import EXAMPLE
from workers.catalog_index import CatalogIndex
from workers.cli import app
from workers.config.load_models import encoder_of
from workers.config.settings import Settings, load_settings
from workers.errors import SettingsError
from workers.evidence.adapt import Adapted, Adapting
from workers.evidence.adapted import AdaptedFile
from workers.evidence.fitted import FittedFile, FittedWeights
from workers.evidence.sample import open_sample
from workers.ingest.steps import Ingest
from workers.intake.fetch import open_fetcher
from workers.jobs.adapt import adapt
from workers.progress.tasks import Progress
from workers.query.part_weights import CatalogPartWeights

PRODUCTS = MIN_PRODUCTS + 5
BETTER = Exam(11, 44, 0.5, 0.7, 0.6, 0.8, 0.4, 0.1, -0.2, 0.1)
NO_BETTER = replace(BETTER, gain=0.1)
PRIOR = PartWeights.with_identity(0.25)


class PatternEncoder(CatalogEncoder):
    """Sees a picture as 4 × 4 colours, in vectors with all the parts."""

    model_id = "pattern-64"
    dim = 64
    replaces_text = True
    has_parts = True

    def encode_items(
        self,
        pictures: Sequence[Picture | Encoded | None],
        texts: Sequence[str | None],
        categories: Sequence[Sequence[str]] | None = None,
    ) -> list[Encoded]:
        """One vector for each picture."""
        return [self._one(picture) for picture in pictures]

    def encode_queries(
        self,
        pictures: Sequence[Picture | Encoded | None],
        texts: Sequence[str | None],
        weights: PartWeights = AS_COMPOSED,
    ) -> list[Encoded]:
        """The same, weighed."""
        return [
            Encoded(query_for_item(one.vector, None, weights), one.juice, weights)
            for one in self.encode_items(pictures, texts)
        ]

    def part_weights(self, items: Floats) -> PartWeights:
        """Always the same."""
        return PRIOR

    def _one(self, picture: Picture | Encoded | None) -> Encoded:
        if isinstance(picture, Encoded):
            return picture
        if picture is None:
            return Encoded(compose_item(PictureParts(None, None, None), None, dim=64), Juice())
        small = np.asarray(Image.fromarray(picture).resize((4, 4)), np.float32).ravel() / 255 - 0.5
        parts = (unit(np.resize(small, size).astype(np.float32) + 1e-3) for size in (128, 384, 128))
        return Encoded(compose_item(PictureParts(*parts), None, dim=64), Juice())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.model_validate(
        {
            "data_dir": tmp_path / "data",
            "milvus": {"uri": str(tmp_path / "milvus.db"), "kind": "lite"},
            "intake": {"roots": [tmp_path]},
        }
    )


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> PatternEncoder:
    """The one that the settings name, as far as the job knows."""
    encoder = PatternEncoder()
    monkeypatch.setattr("workers.jobs.adapt.encoder_of", lambda _settings: encoder)
    return encoder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A catalog folder: each product has a picture of its own."""
    folder, rng = tmp_path / "shop", np.random.default_rng(0)
    folder.mkdir()
    rows = []
    for number in range(PRODUCTS):
        small = rng.integers(0, 255, (4, 4, 3), np.uint8)
        Image.fromarray(small).resize((40, 40)).save(folder / f"{number}.png")
        rows.append(
            {
                "product_id": f"p{number}",
                "title": f"product {number}",
                "category": ["Things", f"kind {number % 3}"],
                "image": f"{number}.png",
            }
        )
    (folder / "products.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    return folder


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch) -> list[Exam]:
    """What exams say, one after the other; the last for ever."""
    said = [BETTER]
    monkeypatch.setattr(
        "models.embedding.adaptation.examine",
        lambda *_args, **_kwargs: said.pop(0) if len(said) > 1 else said[0],
    )
    return said


def ingest(
    settings: Settings, folder: Path, encoder: CatalogEncoder, *, sampled: bool = True
) -> None:
    """Index the folder."""

    async def run() -> None:
        with (
            closing(CatalogIndex(settings, encoder.model_id)) as index,
            closing(open_sample(settings, encoder.model_id)) as sample,
        ):
            async with open_fetcher(settings.intake) as fetcher:
                steps = Ingest(fetcher, encoder, index, sample=sample if sampled else None)
                delivery = Delivery(steps.prepare, steps.write, refuse)
                rows = (folder / "products.jsonl").read_bytes().splitlines()
                await delivery.deliver([record(folder, row, at) for at, row in enumerate(rows)])

    asyncio.run(run())


async def refuse(*what: object) -> None:
    pytest.fail(f"nothing here is rejected: {what}")


def record(folder: Path, row: bytes, offset: int) -> Record:
    fields = orjson.loads(row)
    value = {"type": "upsert", **fields, "image": str(folder / fields["image"])}
    return Record(
        topic="t",
        partition=0,
        offset=offset,
        key=b"k",
        value=orjson.dumps(value),
        timestamp_ms=1_700_000_000_000 + offset,
    )


def adapted(settings: Settings, folder: Path | None = None) -> Adapted:
    return asyncio.run(adapt(settings, folder, Progress()))


@pytest.fixture
def weights(settings: Settings, encoder: PatternEncoder) -> Iterator[CatalogPartWeights]:
    """Those of a query worker that runs all the time."""
    with closing(CatalogIndex(settings, encoder.model_id)) as index:
        yield CatalogPartWeights(
            encoder,
            index,
            FittedFile(settings, encoder.model_id),
            adapted=AdaptedFile(settings, encoder.model_id),
        )


def test_queries_follow_what_passed_its_exam_and_what_is_undone(
    settings: Settings,
    folder: Path,
    encoder: PatternEncoder,
    examined: list[Exam],
    weights: CatalogPartWeights,
) -> None:
    ingest(settings, folder, encoder)
    assert weights.now() == PRIOR
    found = adapted(settings)
    assert (found.promoted, found.had_one) == (True, False)
    assert (found.items, found.views, found.exam) == (PRODUCTS, 4 * PRODUCTS, BETTER)
    mapped = weights.now()
    assert mapped.query_map is not None
    assert replace(mapped, query_map=None) == PRIOR
    picture = np.full((30, 30, 3), 200, np.uint8)
    [before], [after] = (encoder.encode_queries([picture], [None], one) for one in (PRIOR, mapped))
    assert not np.allclose(before.vector, after.vector)
    assert AdaptedFile(settings, encoder.model_id).remove()
    assert weights.now() == PRIOR


def test_what_is_not_better_leaves_what_was_there(
    settings: Settings,
    folder: Path,
    encoder: PatternEncoder,
    examined: list[Exam],
    weights: CatalogPartWeights,
) -> None:
    ingest(settings, folder, encoder)
    examined[:] = [NO_BETTER, BETTER, NO_BETTER]
    found = adapted(settings)
    assert (found.promoted, found.had_one) == (False, False)
    assert weights.now() == PRIOR
    assert adapted(settings).promoted
    kept = weights.now()
    found = adapted(settings)
    assert (found.promoted, found.had_one) == (False, True)
    assert weights.now() is kept


def test_a_map_is_used_with_the_weights_that_it_was_learned_after(
    settings: Settings,
    folder: Path,
    encoder: PatternEncoder,
    examined: list[Exam],
    weights: CatalogPartWeights,
) -> None:
    ingest(settings, folder, encoder)
    file = FittedFile(settings, encoder.model_id)
    file.write(fitted("first", identity=0.5))
    adapted(settings)
    learned_after = weights.now()
    assert learned_after.identity == 0.5
    file.write(fitted("second", identity=0.1))
    assert weights.now() is learned_after
    AdaptedFile(settings, encoder.model_id).remove()
    assert weights.now().identity == 0.1


def fitted(version: str, identity: float = 0.25) -> FittedWeights:
    return FittedWeights(
        model_id=PatternEncoder.model_id,
        version=version,
        of_items=100,
        identity=identity,
        appearance=0.5,
        colour=0.25,
        text=1.0,
        items=100,
        views=400,
        self_at_1=0.5,
        category_at_1=0.5,
        prior_self_at_1=0.5,
        prior_category_at_1=0.5,
    )


def test_another_encoders_map_and_a_damaged_one_are_not_used(
    settings: Settings,
    folder: Path,
    encoder: PatternEncoder,
    examined: list[Exam],
    weights: CatalogPartWeights,
) -> None:
    ingest(settings, folder, encoder)
    adapted(settings)
    assert AdaptedFile(settings, "other-64").read() is None
    path = AdaptedFile(settings, encoder.model_id).path
    whole = path.read_bytes()
    assert weights.now().query_map is not None
    path.write_bytes(whole[: len(whole) // 2])
    assert weights.now() == PRIOR


def test_a_folders_pictures_teach_in_place_of_the_sample(
    settings: Settings, folder: Path, encoder: PatternEncoder, examined: list[Exam]
) -> None:
    ingest(settings, folder, encoder, sampled=False)
    with pytest.raises(AdaptationError, match=r"no sample.*lookstream adapt DIR"):
        adapted(settings)
    photo = {"image": "photo.png", "product_id": "p1"}
    (folder / "photos.jsonl").write_bytes(orjson.dumps(photo))  # there is none, nobody looks
    (folder / "3.png").unlink()
    (folder / "4.png").write_bytes(b"no picture")
    notes: list[str] = []

    class Noting(Progress):
        def note(self, line: str) -> None:
            notes.append(line)

    found = asyncio.run(adapt(settings, folder, Noting()))
    assert (found.promoted, found.items) == (True, PRODUCTS - 2)
    assert any("2 pictures cannot be had and are left out: p3#0: " in note for note in notes)
    assert any(f"{4 * found.items} views of {found.items} pictures" in note for note in notes)


def test_errors_name_the_next_step(
    settings: Settings, folder: Path, encoder: PatternEncoder, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=r"there is no index in .*lookstream produce DIR"):
        adapted(settings)
    rows = (folder / "products.jsonl").read_bytes().splitlines()
    few = tmp_path / "few"
    few.mkdir()
    (few / "products.jsonl").write_bytes(
        b"\n".join(rows[:10]).replace(b'"image":"', b'"image":"../shop/')
    )
    ingest(settings, few, encoder)
    with pytest.raises(AdaptationError, match=f"{MIN_PRODUCTS} products.*there are 10"):
        adapted(settings)
    other = tmp_path / "other"
    other.mkdir()
    (other / "products.jsonl").write_bytes(orjson.dumps({"product_id": "x", "image": "x.png"}))
    with pytest.raises(AdaptationError, match="is in the index: produce the folder first"):
        adapted(settings, other)


def test_vectors_without_parts_are_not_adapted(
    settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    colours = ColourEncoder()
    ingest(settings, folder, colours)
    monkeypatch.setattr("workers.jobs.adapt.encoder_of", lambda _settings: colours)
    with pytest.raises(SettingsError, match=r"colour-8.*models\.backbone"):
        adapted(settings)


def test_in_the_background_it_is_tried_once_after_each_weighing(
    settings: Settings, folder: Path, encoder: PatternEncoder, examined: list[Exam]
) -> None:
    ingest(settings, folder, encoder)
    pauses: list[None] = []
    with (
        closing(CatalogIndex(settings, encoder.model_id)) as index,
        closing(open_sample(settings, encoder.model_id)) as sample,
    ):
        adapting = Adapting(sample, index, encoder, settings)

        def check() -> bool:
            return adapting.check(pause=lambda: pauses.append(None))

        file = FittedFile(settings, encoder.model_id)
        assert not check()  # not weighed yet
        file.write(fitted("first"))
        examined[:] = [NO_BETTER, BETTER]
        assert check()
        assert pauses
        assert AdaptedFile(settings, encoder.model_id).read() is None
        assert not check()
        file.write(fitted("second"))
        assert check()
        learned = AdaptedFile(settings, encoder.model_id).read()
        assert learned is not None
        assert learned.weights_version == "second"
        # A worker that starts anew does not begin again either.
        assert not Adapting(sample, index, encoder, settings).check()


def test_the_command_prints_the_exam_and_undoes(
    settings: Settings,
    folder: Path,
    encoder: PatternEncoder,
    examined: list[Exam],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ingest(settings, folder, encoder)
    monkeypatch.setattr("workers.config.settings.load_settings", lambda: settings)

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["adapt", *arguments], catch_exceptions=False)
        assert done.exit_code == 0
        return done.stdout if "--json" in arguments else done.output

    examined[:] = [NO_BETTER, BETTER]
    shown = run("--quiet")
    assert "not promoted: not better by more than its error (queries are not mapped)" in shown
    assert "50.0%" in shown
    assert "+0.100 ± 0.100" in shown
    report = orjson.loads(run("--quiet", "--json").splitlines()[-1])
    assert report["promoted"] is True
    assert report["exam"]["gain"] == BETTER.gain
    assert "gone" in run("--undo")
    assert orjson.loads(run("--undo", "--json").splitlines()[-1]) == {"removed": False}
    with pytest.raises(SettingsError, match="--undo"):
        run("--undo", str(folder))


@pytest.fixture
def groceries(tmp_path: Path) -> Path:
    """The first products of the example, and photos of some of them."""
    folder = tmp_path / "groceries"
    folder.mkdir()
    rows = (EXAMPLE / "products.jsonl").read_bytes().splitlines()[:PRODUCTS]
    kept = {orjson.loads(row)["product_id"] for row in rows}
    photos = [
        row
        for row in (EXAMPLE / "photos.jsonl").read_bytes().splitlines()
        if orjson.loads(row)["product_id"] in kept
    ][::25]
    (folder / "products.jsonl").write_bytes(b"\n".join(rows))
    (folder / "photos.jsonl").write_bytes(b"\n".join(photos))
    for row in (*rows, *photos):
        image = folder / orjson.loads(row)["image"]
        image.parent.mkdir(exist_ok=True)
        shutil.copyfile(EXAMPLE / image.relative_to(folder), image)
    return folder


@pytest.fixture
def real(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> CatalogEncoder:
    """The packaged encoder; commands find it and the index by the environment."""
    environment = {
        "LOOKSTREAM_DATA_DIR": str(settings.data_dir),
        "LOOKSTREAM_MILVUS__URI": settings.milvus.uri,
        "LOOKSTREAM_MILVUS__KIND": "lite",
        "LOOKSTREAM_MODELS__BACKBONE": "lite0",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return encoder_of(load_settings())


def reported(*arguments: str) -> dict[str, Any]:
    """What a command says of itself."""
    done = CliRunner().invoke(app, [*arguments, "--json", "--quiet"], catch_exceptions=False)
    report: dict[str, Any] = orjson.loads(done.stdout.splitlines()[-1])
    return report


@pytest.mark.slow
def test_groceries_are_adapted_and_that_is_undone(
    groceries: Path, settings: Settings, real: CatalogEncoder
) -> None:
    ingest(settings, groceries, real)
    report = reported("adapt")
    assert (report["items"], report["views"]) == (PRODUCTS, 4 * PRODUCTS)
    assert report["exam"]["products"] == round(PRODUCTS / 4)
    assert report["promoted"] <= (report["exam"]["gain"] > report["exam"]["error"])
    file = AdaptedFile(settings, real.model_id)
    assert report["promoted"] == (file.read() is not None)
    assert reported("adapt", "--undo")["removed"] == report["promoted"]
    assert file.read() is None


@pytest.mark.slow
@pytest.mark.parametrize("said", [BETTER, NO_BETTER])
def test_what_adapting_gives_is_measured_on_photos(
    groceries: Path, real: CatalogEncoder, examined: list[Exam], said: Exam
) -> None:
    examined[:] = [said]
    report = reported("evaluate", str(groceries), "--adapt")
    assert report["queries"] > 3
    assert report["adapted"] == said.passed
    assert report["exam"]["gain"] == said.gain
    assert 0 <= report["adapted_i_hr_1"] <= 1
    if not said.passed:
        assert report["adapted_i_hr_1"] == report["i_hr_1"]
        assert report["adapted_retrieval_i_hr_1"] == report["retrieval_i_hr_1"]


@pytest.mark.slow
def test_too_few_products_to_adapt_are_a_note_of_the_evaluation(
    groceries: Path, real: CatalogEncoder
) -> None:
    rows = (groceries / "products.jsonl").read_bytes().splitlines()[:5]
    (groceries / "products.jsonl").write_bytes(b"\n".join(rows))
    report = reported("evaluate", str(groceries), "--adapt")
    assert (report["adapted"], report["exam"]) == (False, None)
    assert any("not adapted: " in note and "there are 5" in note for note in report["notes"])
