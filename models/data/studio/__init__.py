"""The studio: rendered products, for truth that no photo set gives."""

from models.data.studio.disturbances import ALL as DISTURBANCES
from models.data.studio.folder import StudioSummary, write_studio

__all__ = ["DISTURBANCES", "StudioSummary", "write_studio"]
