"""`lookstream adapt`: pictures of the live catalog, of the sample or a folder, and what they teach.

What is learned goes into a file that the query workers follow (`workers.evidence.adapted`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from models.catalog.folder import read_catalog
from models.embedding.adapt import check_products
from models.embedding.protocol import CatalogEncoder
from models.errors import AdaptationError
from workers.catalog_index import CatalogIndex, current_bank
from workers.config.load_models import encoder_of
from workers.config.settings import Settings
from workers.errors import SettingsError
from workers.evidence.adapt import VIEWS, Adapted, adapt_catalog, estimate_s
from workers.evidence.adapted import AdaptedFile
from workers.evidence.fitted import FittedFile
from workers.evidence.sample import open_sample
from workers.evidence.witnesses import READ_TOGETHER, SampledItem, sampled_items
from workers.intake.fetch import open_fetcher
from workers.jobs.folder_pictures import folder_pictures
from workers.progress.tasks import Progress


async def adapt(settings: Settings, folder: Path | None, progress: Progress) -> Adapted:
    """Learn a query map for the live index and, if its exam passes, put it in place.

    Args:
        settings: of the deployment whose index is live.
        folder: whose product pictures are learned from; the sample's without one.
        progress: of the pictures, the views, the exam and the learning.

    Raises:
        SettingsError: nothing is indexed, or the encoder's vectors have no parts.
        ModelMismatch: the index is of another encoder.
        AdaptationError: there are no pictures, or too few products.
    """
    current_bank(settings)
    with progress.task("loading the encoder"):
        encoder = encoder_of(settings)
    check_adaptable(encoder)
    with closing(CatalogIndex(settings, encoder.model_id)) as index:
        if folder is None:
            sampled = _of_sample(settings, index, encoder)
        else:
            sampled = await _of_folder(settings, index, folder, progress)
    check_products(len({one.item.product_id for one in sampled}))
    _say_estimate(sampled, encoder, progress)
    fitted = FittedFile(settings, encoder.model_id)
    file = AdaptedFile(settings, encoder.model_id)
    with progress.task("encoding views") as task:
        return adapt_catalog(sampled, encoder, fitted, file, progress=task)


def check_adaptable(encoder: CatalogEncoder) -> None:
    """Raise SettingsError where vectors have no parts to weigh and to map."""
    if not encoder.has_parts:
        raise SettingsError(
            f"only vectors of an encoder with parts can be adapted, and those of "
            f"{encoder.model_id} have none: a vision-language model (models.backbone) mixes all"
        )


def _say_estimate(
    sampled: Sequence[SampledItem], encoder: CatalogEncoder, progress: Progress
) -> None:
    """Say how long the views will take, before they are encoded."""
    with progress.task("timing a few views"):
        seconds = estimate_s(sampled, encoder)
    took = f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
    progress.note(
        f"{len(sampled) * len(VIEWS):,} views of {len(sampled):,} pictures will take about {took} "
        "here; learning from them takes seconds"
    )


def _of_sample(
    settings: Settings, index: CatalogIndex, encoder: CatalogEncoder
) -> list[SampledItem]:
    with closing(open_sample(settings, encoder.model_id)) as sample:
        sampled = sampled_items(sample, index)
    if not sampled:
        raise AdaptationError(
            "there is no sample of the catalog's pictures yet: the ingest worker keeps one of what "
            "it ingests (ingest.weigh_parts). Build the index anew (lookstream reindex), or name "
            "a folder that has the pictures (lookstream adapt DIR)"
        )
    return sampled


async def _of_folder(
    settings: Settings, index: CatalogIndex, folder: Path, progress: Progress
) -> list[SampledItem]:
    catalog = read_catalog(folder)
    ids = [product.product_id for product in catalog.products]
    starts = range(0, len(ids), READ_TOGETHER)
    items = [item for start in starts for item in index.stored(ids[start : start + READ_TOGETHER])]
    roots = (*settings.intake.roots, catalog.folder.resolve())
    intake = settings.intake.model_copy(update={"roots": roots})
    async with open_fetcher(intake) as fetcher:
        return await folder_pictures(catalog, items, fetcher, progress)
