"""Whether the model of the settings is the one that made the index, and what to do if it is not.

Vectors of two models are never compared. What made the index is written twice: with the prototype
bank in `data_dir`, which can be read at once, and with the rows in Milvus, which decides where the
two differ (an index that took the place of another, interrupted in between).
"""

from __future__ import annotations

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from index.errors import MilvusUnavailable, ModelMismatch
from index.milvus.open import live_metadata
from index.prototypes.registry import BankRegistry
from workers.config.settings import Settings
from workers.config.wiring import milvus_config_of

POLL_S = 0.5
WAYS_OUT = (
    "go back to that model, or build the index anew with this one: `lookstream reindex` (while "
    "`lookstream up --only feedback` runs, where broker and Milvus are embedded)"
)


def check_model(settings: Settings, model_id: str, wait_s: float = 0.0) -> None:
    """Raise unless the live index, if there is one, was made with this model.

    Milvus is asked only where the bank says otherwise, for at most `wait_s` seconds; if it does not
    answer, nothing is raised: the first call to the index will find out.

    Raises:
        ModelMismatch: says what differs and both ways out.
        BankError: the bank in `data_dir` cannot be read.
    """
    found = bank_model(settings)
    if found is None or found == model_id:
        return
    asking = Retrying(
        retry=retry_if_exception_type(MilvusUnavailable),
        stop=stop_after_delay(wait_s),
        wait=wait_fixed(POLL_S),
        reraise=True,
    )
    try:
        rows = asking(live_metadata, milvus_config_of(settings), settings.milvus.collection)
    except MilvusUnavailable:
        return
    if rows is None or rows.model_id != model_id:
        raise ModelMismatch(misfit(found if rows is None else rows.model_id, model_id))


def bank_model(settings: Settings) -> str | None:
    """The model that the bank in `data_dir` is of; None before anything was indexed."""
    registry = BankRegistry(settings.data_dir)
    current = registry.current()
    return None if current is None else registry.get(current).model_id


def misfit(found: str, wanted: str) -> str:
    """What does not fit where the index was made with another model, and both ways out."""
    return f"{what_differs(found, wanted)}. Either {WAYS_OUT}"


def what_differs(found: str, wanted: str) -> str:
    """What does not fit."""
    return (
        f"the index holds vectors and juice of model {found}, and the settings make those of "
        f"{wanted}: {_setting(found, wanted)}"
    )


def _setting(found: str, wanted: str) -> str:
    """Which setting it is: ids are NETWORK-TEXT-DIM-DIGEST (`models.embedding.load`)."""
    one, other = found.rsplit("-", 3), wanted.rsplit("-", 3)
    if len(one) == len(other) == 4:
        if one[0] != other[0]:
            return f"models.backbone was {one[0]} and is {other[0]}"
        if one[1] != other[1]:
            return f"models.text was {one[1]} and is {other[1]}"
        if one[2] != other[2]:
            return f"models.dim was {one[2]} and is {other[2]}"
        return (
            "models.projection names other weights, or this is another release of Lookstream, "
            "which makes them by other rules"
        )
    return "models.backbone is another one"
