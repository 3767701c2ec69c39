"""Taught by a catalog's own pictures alone, just as `lookstream train embedding DIR` does it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from benchmarks.recognition.retrieval_tasks import TaskFeatures
from models.backbone.spec import BackboneSpec
from models.catalog.folder import PRODUCTS, Catalog, Product
from models.embedding.projection import Projection, save_projection
from models.progress import Phases
from models.training.embedding.dataset import TrainingConfig
from models.training.embedding.feature_cache import Recorded, make_views
from models.training.embedding.identity_tower import Tower
from models.training.embedding.train import train_embedding

MOST = 150
"""Products at most: a tail takes minutes for a hundred."""

Rates = dict[str, float]


def own_rates(
    catalog: Catalog, start: Projection, spec: BackboneSpec, work: Path, progress: Phases
) -> tuple[Rates, Rates]:
    """Hit rates by raw features, and as it is served after the lesson, on the same test photos.

    Args:
        catalog: with products that photos of the split "test" show; no photo is learned from.
        start: axes and look that know nothing of this catalog.
        spec: the backbone.
        work: is left with the catalog's own pictures, their views and the run.
        progress: told how far it is.
    """
    photographed = {photo.product_id for photo in catalog.split("test")}
    shown = [one for one in catalog.products if one.image and one.product_id in photographed]
    shown = shown[:: -(-len(shown) // MOST)]
    names = {product.product_id for product in shown}
    asked = [photo for photo in catalog.split("test") if photo.product_id in names]
    base = work / "axes.safetensors"
    save_projection(start, base)
    fitted = train_embedding(
        TrainingConfig(folders=(_alone(catalog, shown, work / catalog.folder.name),), start=base),
        work,
        progress=progress,
    )
    features = TaskFeatures()
    task = features.task(catalog, asked, shown)
    learned = fitted.projection
    store = make_views(work / "answers", features.sources, Recorded(spec), learned)
    assert learned.identity is not None
    tower = Tower(learned.identity, learned.branch, fitted.identity_branch).eval()
    return task.raw(store), task.served(tower, learned.library, store)


def _alone(catalog: Catalog, products: list[Product], folder: Path) -> Path:
    """A catalog folder of some products with their own pictures and no photos."""
    rows = [msgspec.structs.replace(one, image=catalog.locate(one.image or "")) for one in products]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PRODUCTS).write_bytes(b"\n".join(map(msgspec.json.encode, rows)))
    return folder
