"""The part weights that a catalog has chosen by its own evidence, in a file beside its banks."""

from __future__ import annotations

import hashlib

import msgspec
import structlog

from models.embedding.layout import PartWeights
from models.embedding.part_weights import Weighed
from models.weights.files import replacing
from workers.config.settings import Settings
from workers.evidence.followed_file import FollowedFile
from workers.evidence.sample import evidence_dir

log = structlog.get_logger()


class FittedWeights(msgspec.Struct, frozen=True, kw_only=True, tag_field="format", tag="1"):
    """Part weights, whose they are, and what speaks for them.

    Attributes:
        model_id: of the encoder that made the vectors; for no other do they hold.
        version: equal for equal weights of a model on equal evidence.
        of_items: items in the catalog when it was weighed.
        identity, appearance, colour, text: as in `models.embedding.layout.PartWeights`.
        items, views: witnesses.
        self_at_1, category_at_1: what the witnesses found by these weights, 0..1.
        prior_self_at_1, prior_category_at_1: the same by the weights without evidence.
    """

    model_id: str
    version: str
    of_items: int
    identity: float
    appearance: float
    colour: float
    text: float
    items: int
    views: int
    self_at_1: float
    category_at_1: float
    prior_self_at_1: float
    prior_category_at_1: float

    @classmethod
    def of(cls, weighed: Weighed, model_id: str, of_items: int) -> FittedWeights:
        """The weights as they are written."""
        weights = weighed.weights
        unsigned = cls(
            model_id=model_id,
            version="",
            of_items=of_items,
            identity=weights.identity,
            appearance=weights.appearance,
            colour=weights.colour,
            text=weights.text,
            items=weighed.items,
            views=weighed.views,
            self_at_1=weighed.self_at_1,
            category_at_1=weighed.category_at_1,
            prior_self_at_1=weighed.prior_self_at_1,
            prior_category_at_1=weighed.prior_category_at_1,
        )
        digest = hashlib.sha256(msgspec.json.encode(unsigned)).hexdigest()
        return msgspec.structs.replace(unsigned, version=digest[:12])

    @property
    def weights(self) -> PartWeights:
        """The weights for queries."""
        return PartWeights(self.identity, self.appearance, self.colour, self.text)

    @property
    def summary(self) -> str:
        """The weights and what speaks for them, in a line."""
        return (
            f"identity {self.identity:.0%}, appearance {self.appearance:.0%}, "
            f"colour {self.colour:.0%}; by its own evidence ({self.items} pictures, version "
            f"{self.version}): self@1 {self.self_at_1:.1%} (prior {self.prior_self_at_1:.1%}), "
            f"category@1 {self.category_at_1:.1%} (prior {self.prior_category_at_1:.1%})"
        )

    def figures(self) -> dict[str, float | str]:
        """The same, for a log."""
        numbers = msgspec.structs.asdict(self)
        return {
            name: round(value, 3) if isinstance(value, float) else value
            for name, value in numbers.items()
            if name not in ("model_id", "of_items", "text")
        }


class FittedFile:
    """The file of one catalog, for one model; read again when it has changed."""

    def __init__(self, settings: Settings, model_id: str) -> None:
        self.path = evidence_dir(settings) / "weights.json"
        self._model_id = model_id
        self._followed = FollowedFile(self.path, self._decoded)

    def read(self) -> FittedWeights | None:
        """The weights; None if there are none for this model."""
        return self._followed.read()

    def write(self, fitted: FittedWeights) -> None:
        """Replace the file; who reads sees the old one or the new one."""
        with replacing(self.path) as draft:
            draft.write_bytes(msgspec.json.format(msgspec.json.encode(fitted)))

    def _decoded(self) -> FittedWeights | None:
        try:
            fitted = msgspec.json.decode(self.path.read_bytes(), type=FittedWeights)
        except (OSError, msgspec.DecodeError) as error:
            log.warning(
                "the catalog's part weights cannot be read, and are not used: delete the file, "
                "and they are made again",
                file=str(self.path),
                why=str(error),
            )
            return None
        return fitted if fitted.model_id == self._model_id else None
