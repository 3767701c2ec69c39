"""The studio: rendered products, for truth that no photo set gives."""

from models.images.corruptions import ALL as DISTURBANCES
from models.synthetic.folder import StudioSummary, write_studio

__all__ = ["DISTURBANCES", "StudioSummary", "write_studio"]
