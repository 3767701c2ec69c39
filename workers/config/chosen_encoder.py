"""The encoder that `lookstream reindex --backbone` chose, in place of the settings'.

It is written beside the catalog that it made: into the folder of a generation when that is begun,
and into `data_dir` when that goes live, so that every worker started after that takes it. It holds
in place of the settings that it was chosen over; whoever changes them has the last word again.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from models.weights.files import replacing
from workers.config.sections import ModelSettings
from workers.config.settings import Settings
from workers.errors import SettingsError

NAME = "encoder.json"


class ChosenEncoder(msgspec.Struct, frozen=True, kw_only=True):
    """What was chosen.

    Attributes:
        backbone: as in `models.backbone`; None for the encoder of the settings.
        instead_of: the encoder of the settings then, by the names of its settings.
    """

    backbone: str | None
    instead_of: dict[str, str | int | None]


def models_of(settings: Settings) -> ModelSettings:
    """The section `models` with the encoder that is in effect for the catalog in `data_dir`.

    Raises:
        SettingsError: what was chosen cannot be read.
    """
    return chosen_in(settings.data_dir, settings.models) or settings.models


def chosen_in(folder: Path, models: ModelSettings) -> ModelSettings | None:
    """The settings with the encoder that a catalog's folder names in place of theirs; None if none.

    Raises:
        SettingsError: what was chosen cannot be read.
    """
    path = folder / NAME
    try:
        chosen = msgspec.json.decode(path.read_bytes(), type=ChosenEncoder)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise SettingsError(
            f"{path} cannot be read ({error}): delete it, and the encoder of the settings is used"
        ) from error
    if chosen.instead_of != _named(models):
        return None
    return models if chosen.backbone is None else with_backbone(models, chosen.backbone)


def choose(folder: Path, models: ModelSettings, backbone: str | None) -> None:
    """Have the catalog in a folder use a backbone in place of these settings'; None: theirs."""
    chosen = ChosenEncoder(backbone=backbone, instead_of=_named(models))
    with replacing(folder / NAME) as draft:
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(chosen)))


def keep_choice(settings: Settings, folder: Path) -> None:
    """Have the catalog in a folder use what is in effect now for the live one."""
    if chosen_in(settings.data_dir, settings.models) is None:
        choose(folder, settings.models, None)
    else:
        with replacing(folder / NAME) as draft:
            draft.write_bytes((settings.data_dir / NAME).read_bytes())


def hand_over(generation: Path, settings: Settings) -> None:
    """The live catalog uses from now on what a generation that takes its place was made with."""
    if (generation / NAME).is_file():
        with replacing(settings.data_dir / NAME) as draft:
            draft.write_bytes((generation / NAME).read_bytes())


def with_backbone(models: ModelSettings, backbone: str) -> ModelSettings:
    """The section with another backbone, and nothing that was fitted for the one before."""
    return models.model_copy(update={"backbone": backbone, "projection": None, "dim": None})


def _named(models: ModelSettings) -> dict[str, str | int | None]:
    projection = None if models.projection is None else str(models.projection)
    return {"backbone": models.backbone, "projection": projection, "dim": models.dim}
