"""Fine-tuning on a catalog's own pictures alone, as `lookstream train embedding DIR` does it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from benchmarks.recognition.retrieval_tasks import TaskPictures
from models.backbone.spec import BackboneSpec
from models.catalog.folder import PRODUCTS, Catalog, Product
from models.embedding.projection import Projection, save_projection
from models.progress import Phases
from models.training.embedding.dataset import TrainingConfig
from models.training.embedding.feature_cache import CacheSettings, build_cache
from models.training.embedding.identity_tower import IdentityTower
from models.training.embedding.train import train_embedding

MAX_PRODUCTS = 150
"""Training an identity branch takes minutes for a hundred products."""

Rates = dict[str, float]


def fine_tuned_rates(
    catalog: Catalog, start: Projection, spec: BackboneSpec, work: Path, progress: Phases
) -> tuple[Rates, Rates]:
    """Hit rates of raw features, and as served after fine-tuning, on the same test photos.

    Args:
        catalog: with products that photos of the split "test" show; no photo is trained on.
        start: a projection that was not fitted on this catalog.
        spec: the backbone.
        work: folder of the catalog's own pictures, their views and the run.
        progress: by phase.
    """
    photographed = {photo.product_id for photo in catalog.split("test")}
    products = [one for one in catalog.products if one.image and one.product_id in photographed]
    products = products[:: -(-len(products) // MAX_PRODUCTS)]
    names = {product.product_id for product in products}
    queries = [photo for photo in catalog.split("test") if photo.product_id in names]
    base = work / "axes.safetensors"
    save_projection(start, base)
    fitted = train_embedding(
        TrainingConfig(
            folders=(_products_folder(catalog, products, work / catalog.folder.name),),
            examined=False,
            start=base,
        ),
        work,
        progress=progress,
    )
    pictures = TaskPictures()
    task = pictures.task(catalog, queries, products)
    trained = fitted.projection
    cache = build_cache(work / "tasks", pictures.sources, CacheSettings(spec), trained)
    assert trained.identity is not None
    tower = IdentityTower(trained.identity, trained.branch, fitted.identity_branch).eval()
    return task.raw(cache), task.served(tower, trained.library, cache)


def _products_folder(catalog: Catalog, products: list[Product], folder: Path) -> Path:
    """A catalog folder of some products with their own pictures and no photos."""
    rows = [msgspec.structs.replace(one, image=catalog.locate(one.image or "")) for one in products]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PRODUCTS).write_bytes(b"\n".join(map(msgspec.json.encode, rows)))
    return folder
