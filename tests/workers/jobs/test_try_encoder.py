"""Trying an encoder: the one that sees more wins, by more than chance, and the advice says so."""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest
from PIL import Image
from typer.testing import CliRunner

from models.catalog.folder import Photo, Product, read_catalog
from models.embedding.protocol import Encoded
from models.errors import CatalogError
from models.evaluation.paired import Outcome
from models.images.letterbox import Picture
from tests.doubles.colours import ColourEncoder
from tests.paths import EXAMPLE
from workers.cli import app
from workers.config.sections import IntakeSettings
from workers.evidence.sample import SampledPicture
from workers.intake.fetch import open_fetcher
from workers.jobs.trial_advice import advise
from workers.jobs.trial_material import Material, Shown, gather_material
from workers.jobs.try_encoder import BY_PHOTOS, BY_PICTURES, BY_VIEWS, OF_KINDS, Trial, try_encoder
from workers.progress.lines import Lines
from workers.progress.tasks import Progress

PRODUCTS = 26


class BlindEncoder(ColourEncoder):
    """Sees no colour but red."""

    model_id = "blind-8"

    def encode_items(
        self,
        pictures: Sequence[Picture | Encoded | None],
        texts: Sequence[str | None],
        categories: Sequence[Sequence[str]] | None = None,
    ) -> list[Encoded]:
        """As of pictures without green and blue."""
        red = np.array([1, 0, 0], np.uint8)
        seen = [one * red if isinstance(one, np.ndarray) else one for one in pictures]
        return super().encode_items(seen, texts, categories)


def picture_of(product: int, number: int) -> Picture:
    """A noisy picture whose mean colour tells the product, 64 × 64."""
    rng = np.random.default_rng([product, number])
    angle = 2 * np.pi * product / PRODUCTS
    colour = 128 + 80 * np.array([np.cos(angle), np.sin(angle), np.sin(2 * angle)])
    return np.clip(colour + rng.normal(0, 40, (64, 64, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def material() -> Material:
    """Products of two categories, each with two pictures and two photos."""
    products = [
        Product(product_id=f"p{number}", category=("left" if number < PRODUCTS / 2 else "right",))
        for number in range(PRODUCTS)
    ]
    shown = []
    for number, product in enumerate(products):
        for picture in range(2):
            digest = f"{1000 * number + picture:064x}"
            pixels = picture_of(number, picture)
            sampled = SampledPicture.of(product.product_id, digest[::-1], pixels)
            assert sampled is not None
            shown.append(Shown(product, sampled))
    photos = [
        (Photo(image="", product_id=f"p{number}"), picture_of(number, 2 + photo))
        for number in range(PRODUCTS)
        for photo in range(2)
    ]
    return Material(tuple(shown), tuple(photos))


@pytest.fixture(scope="module")
def trial(material: Material) -> Trial:
    """One that the candidate wins."""
    return try_encoder(material, BlindEncoder(), ColourEncoder(), Progress())


def test_who_sees_more_finds_more(trial: Trial) -> None:
    assert set(trial.exams) == {BY_PHOTOS, BY_PICTURES, BY_VIEWS, OF_KINDS}
    assert trial.exams[BY_PHOTOS].queries == trial.exams[BY_PICTURES].queries == 2 * PRODUCTS
    for name in (BY_PHOTOS, BY_PICTURES):
        assert trial.exams[name].outcome is Outcome.BETTER
        assert trial.exams[name].second > 0.9
    advice = advise(trial, "blind", "colour")
    assert advice.use
    assert "Use colour: photos find what they show" in advice.text
    assert "lookstream reindex" in advice.text


def test_who_sees_less_is_not_advised(material: Material) -> None:
    trial = try_encoder(material, ColourEncoder(), BlindEncoder(), Progress())
    advice = advise(trial, "colour", "blind")
    assert not advice.use
    assert advice.text.startswith("Keep colour: blind is worse here")


def test_the_same_encoder_makes_no_difference(material: Material) -> None:
    trial = try_encoder(material, ColourEncoder(), ColourEncoder(), Progress())
    assert all(one.difference == 0 for one in trial.exams.values())
    assert "no difference beyond chance" in advise(trial, "one", "other").text


def test_without_photos_there_is_no_exam_of_them(material: Material) -> None:
    few = Material(material.shown[:8], ())
    found = try_encoder(few, BlindEncoder(), ColourEncoder(), Progress())
    assert set(found.exams) == {BY_PICTURES, BY_VIEWS}  # and all are of one category
    assert "too few queries" in advise(found, "a", "b").text


def test_without_photos_pictures_decide(trial: Trial) -> None:
    exams = {name: one for name, one in trial.exams.items() if name != BY_PHOTOS}
    trial = replace(trial, exams=exams)
    assert "pictures find their product by its other pictures" in advise(trial, "a", "b").text


def test_a_loss_beside_the_gain_is_told(trial: Trial) -> None:
    worse = replace(trial.exams[BY_PHOTOS], first=0.9, second=0.1)
    told = advise(replace(trial, exams={**trial.exams, OF_KINDS: worse}), "a", "b")
    assert "But items find others of their category in 10.0% in place of 90.0%" in told.text


def test_a_licence_with_conditions_is_told(trial: Trial) -> None:
    assert "research only" in advise(trial, "lite2", "mobileclip2-s0").text


@pytest.mark.parametrize(
    ("second", "ms", "used", "says"),
    [
        (0.796, 40.0, True, "in 0.40 of the time"),
        (0.79, 40.0, False, "loses too much"),
        (0.8, 90.0, False, "no gain"),
    ],
)
def test_eight_bits_have_to_be_quicker_and_may_lose_half_a_point(
    trial: Trial, second: float, ms: float, used: bool, says: str
) -> None:
    exams = {BY_PHOTOS: replace(trial.exams[BY_PHOTOS], first=0.8, second=second)}
    small = replace(trial, exams=exams, present_ms=100.0, candidate_ms=ms)
    advice = advise(small, "siglip2-base", "siglip2-base+int8")
    assert advice.use is used
    assert says in advice.text


def write_catalog(folder: Path, products: int) -> None:
    rows = []
    for number in range(products):
        Image.fromarray(picture_of(number, 0)).save(folder / f"{number}.png")
        rows.append(orjson.dumps({"product_id": f"p{number}", "image": f"{number}.png"}))
    rows.append(orjson.dumps({"product_id": "gone", "image": "gone.png"}))
    rows.append(orjson.dumps({"product_id": "words", "title": "words alone"}))
    (folder / "products.jsonl").write_bytes(b"\n".join(rows))


async def test_the_sample_is_from_all_over_and_leaves_out_what_cannot_be_had(
    tmp_path: Path,
) -> None:
    write_catalog(tmp_path, 9)
    photo = {"image": "3.png", "product_id": "p3", "split": "test"}
    (tmp_path / "photos.jsonl").write_bytes(orjson.dumps(photo))
    said = io.StringIO()
    progress = Lines(said, heartbeat=False)
    async with open_fetcher(IntakeSettings(roots=(tmp_path,))) as fetcher:
        found = await gather_material(read_catalog(tmp_path), "test", 5, fetcher, progress)
    assert [one.product.product_id for one in found.shown] == ["p0", "p2", "p4", "p6", "p8"]
    assert found.photos == ()  # of a product that is not in the sample
    async with open_fetcher(IntakeSettings(roots=(tmp_path,))) as fetcher:
        found = await gather_material(read_catalog(tmp_path), "test", 99, fetcher, progress)
    assert len(found.shown) == 9
    assert len(found.photos) == 1
    assert "1 pictures cannot be had and are left out: gone" in said.getvalue()


async def test_a_catalog_without_pictures_says_so(tmp_path: Path) -> None:
    write_catalog(tmp_path, 0)
    async with open_fetcher(IntakeSettings(roots=(tmp_path,))) as fetcher:
        with pytest.raises(CatalogError, match="nothing to try encoders with: gone"):
            await gather_material(read_catalog(tmp_path), "test", 99, fetcher, Progress())


@pytest.mark.slow
def test_the_command_tries_a_packaged_encoder() -> None:
    command = ["models", "try", "lite0", str(EXAMPLE), "--most", "12", "--json"]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    report = orjson.loads(result.stdout.splitlines()[-1])
    assert report["present_id"].startswith("lite2-")
    assert report["candidate_id"].startswith("lite0-")
    assert report["exams"]["views"]["queries"] == 2 * report["pictures"]
    assert report["advice"]
