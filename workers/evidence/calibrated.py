"""How a catalog corrects its reranker's probabilities, in a file beside its part weights."""

from __future__ import annotations

import msgspec
import structlog

from models.reranking.catalog_shift import NO_SHIFT, CatalogShift
from models.reranking.protocol import ListReranker
from models.weights.files import replacing
from workers.config.settings import Settings
from workers.evidence.followed_file import FollowedFile
from workers.evidence.sample import evidence_dir

log = structlog.get_logger()


class Calibration(msgspec.Struct, frozen=True, kw_only=True, tag_field="format", tag="1"):
    """A catalog's shift, whose it is, and what speaks for it.

    Attributes:
        model_id: of the encoder that made the vectors.
        reranker: the version of the one whose probabilities are shifted; it holds for no other.
        weights_version: of the part weights, or of the query map, that pictures were asked by.
        shift: of log odds.
        pictures, products: that were asked for; none where no product has several pictures.
        brier, prior_brier: Brier scores of the first place with and without the shift, 0..1, of
            products that were held out.
        none_brier, prior_none_brier: of "none of these", as if one in three is not there.
    """

    model_id: str
    reranker: str
    weights_version: str
    shift: CatalogShift = NO_SHIFT
    pictures: int = 0
    products: int = 0
    brier: float = 0.0
    prior_brier: float = 0.0
    none_brier: float = 0.0
    prior_none_brier: float = 0.0

    @property
    def summary(self) -> str:
        """The shift and what speaks for it, in a line."""
        if not self.pictures:
            return "as in other catalogs: no product in the sample has several pictures"
        return (
            f"log odds {self.shift.instance:+.2f}, of no match {self.shift.none:+.2f}; by "
            f"{self.pictures} pictures of {self.products} products that have several: Brier score "
            f"{self.brier:.3f} (prior {self.prior_brier:.3f}), of no match {self.none_brier:.3f} "
            f"(prior {self.prior_none_brier:.3f})"
        )


class CalibratedFile:
    """The file of one catalog, for one model; read again when it has changed."""

    def __init__(self, settings: Settings, model_id: str) -> None:
        self.path = evidence_dir(settings) / "calibration.json"
        self._model_id = model_id
        self._followed = FollowedFile(self.path, self._decoded)

    def read(self) -> Calibration | None:
        """The calibration; None if there is none for this model."""
        return self._followed.read()

    def shift_for(self, reranker: ListReranker) -> CatalogShift:
        """What the catalog corrects this reranker by; nothing where it was another's."""
        found = self.read()
        return found.shift if found and found.reranker == reranker.version else NO_SHIFT

    def write(self, calibration: Calibration) -> None:
        """Replace the file; who reads sees the old one or the new one."""
        with replacing(self.path) as draft:
            draft.write_bytes(msgspec.json.format(msgspec.json.encode(calibration)))

    def _decoded(self) -> Calibration | None:
        try:
            found = msgspec.json.decode(self.path.read_bytes(), type=Calibration)
        except (OSError, msgspec.DecodeError) as error:
            log.warning(
                "the catalog's calibration cannot be read, and is not used: delete the file, and "
                "it is made again",
                file=str(self.path),
                why=str(error),
            )
            return None
        return found if found.model_id == self._model_id else None
