"""The studio: rendered products, for truth that no photo set gives."""

from models.images.corruptions import CORRUPTION_NAMES as CORRUPTIONS
from models.synthetic.folder import SyntheticSummary, write_synthetic_catalog

__all__ = ["CORRUPTIONS", "SyntheticSummary", "write_synthetic_catalog"]
