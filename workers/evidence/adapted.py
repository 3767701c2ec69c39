"""What the catalog was adapted by, in a file beside its part weights."""

from __future__ import annotations

import structlog

from models.embedding.adaptation import Adaptation, read_adaptation, write_adaptation
from models.errors import WeightsError
from workers.config.settings import Settings
from workers.evidence.followed_file import FollowedFile
from workers.evidence.sample import ADAPTATION, evidence_dir

log = structlog.get_logger()


class AdaptedFile:
    """The file of one catalog, for one model; read again when it has changed."""

    def __init__(self, settings: Settings, model_id: str) -> None:
        self.path = evidence_dir(settings) / ADAPTATION
        self._model_id = model_id
        self._followed = FollowedFile(self.path, self._decoded)

    def read(self) -> Adaptation | None:
        """The adaptation; None if there is none for this model."""
        return self._followed.read()

    def write(self, adaptation: Adaptation) -> None:
        """Replace the file; who reads sees the old one or the new one."""
        write_adaptation(self.path, adaptation)

    def remove(self) -> bool:
        """Take it away; whether there was one, of whatever model."""
        there = self.path.exists()
        self.path.unlink(missing_ok=True)
        return there

    def _decoded(self) -> Adaptation | None:
        try:
            adaptation = read_adaptation(self.path)
        except (OSError, WeightsError) as error:  # queries are answered without it
            log.warning("the catalog's adaptation is not used", why=str(error))
            return None
        if adaptation.model_id != self._model_id:
            log.warning(
                "the catalog's adaptation is for another encoder, and is not used: adapt it again",
                adapted=adaptation.model_id,
                encoder=self._model_id,
            )
            return None
        return adaptation
