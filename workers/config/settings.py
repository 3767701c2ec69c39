"""Settings: one TOML of `configs/` (or your own file), overridden by the environment.

`LOOKSTREAM_PROFILE` names a file of `configs/` ("embedded") or gives the path of a TOML;
`LOOKSTREAM_SECTION__KEY` overrides one value, for instance `LOOKSTREAM_KAFKA__BOOTSTRAP`. Secrets
come from the environment or from files (`workers.config.secrets`); they never show in a log, an
error or a repr.
"""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import orjson
import pydantic_settings
from pydantic import PrivateAttr, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from workers.config.catalog import CatalogSettings
from workers.config.secrets import SECRETS
from workers.config.sections import (
    FeedbackSettings,
    IngestSettings,
    IntakeSettings,
    KafkaSettings,
    MilvusSettings,
    ModelSettings,
    QuerySettings,
    WebSettings,
)
from workers.errors import SettingsError

PROFILE_VARIABLE = "LOOKSTREAM_PROFILE"


class Settings(BaseSettings):
    """Everything a worker needs to know. Frozen; see `load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix="LOOKSTREAM_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    data_dir: Path = Path(".lookstream")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    kafka: KafkaSettings = KafkaSettings()
    milvus: MilvusSettings = MilvusSettings()
    models: ModelSettings = ModelSettings()
    intake: IntakeSettings = IntakeSettings()
    catalog: CatalogSettings = CatalogSettings()
    ingest: IngestSettings = IngestSettings()
    query: QuerySettings = QuerySettings()
    feedback: FeedbackSettings = FeedbackSettings()
    web: WebSettings = WebSettings()
    _shared_dir: Path | None = PrivateAttr(default=None)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment over the profile; nothing is read from the working directory."""
        toml = TomlConfigSettingsSource(settings_cls, toml_file=profile_path())
        return init_settings, env_settings, toml

    def group(self, worker: str) -> str:
        """The consumer group of a kind of worker."""
        return f"{self.kafka.prefix}-{worker}"

    @property
    def milvus_dir(self) -> Path:
        """The data of the embedded Milvus Lite."""
        return self.data_dir / "milvus"

    @property
    def mirror_dir(self) -> Path:
        """What is in the embedded Milvus Lite, as the query workers follow it."""
        return (self._shared_dir or self.data_dir) / "mirror"

    def separate(self, folder: Path, collection: str, models: ModelSettings) -> Settings:
        """The settings of a catalog beside this one: what it has of its own is in a folder.

        Its mirror is with the others, so that it need not move when it becomes the live catalog.
        """
        milvus = self.milvus.model_copy(update={"collection": collection})
        made = self.model_copy(update={"data_dir": folder, "milvus": milvus, "models": models})
        made._shared_dir = self._shared_dir or self.data_dir
        return made

    @property
    def log_dir(self) -> Path:
        """The logs of the processes that `up` starts."""
        return self.data_dir / "logs"


def profile_path() -> Path:
    """The TOML that `LOOKSTREAM_PROFILE` names. SettingsError when there is none."""
    profile = os.environ.get(PROFILE_VARIABLE, "embedded")
    if profile.endswith(".toml"):
        path = Path(profile)
    else:
        path = Path(str(files("configs"))) / f"{profile}.toml"
    if not path.is_file():
        raise SettingsError(
            f"no settings file {path}: set {PROFILE_VARIABLE} to embedded, cluster, "
            "or the path of a TOML file"
        )
    return path


def load_settings() -> Settings:
    """Read the profile and the environment.

    Raises:
        SettingsError: names each wrong key, what was expected, and where it may come from.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, e['loc']))}: {e['msg']}{_got(e['loc'], e['type'], e['input'])}"
            for e in error.errors(include_url=False)
        )
    except pydantic_settings.SettingsError as error:  # a section that is not JSON
        wrong = str(error)
    raise SettingsError(
        f"settings are wrong: {wrong}. They come from {profile_path()} and from "
        "environment variables LOOKSTREAM_SECTION__KEY"
    )


def _got(place: tuple[int | str, ...], kind: str, value: Any) -> str:
    """The wrong value, unless it may be a secret: a misspelt key, or a whole section."""
    hidden = {*SECRETS, *(name for names in SECRETS.values() for name in names), "hosts", "intake"}
    shown = isinstance(value, str | int | float) and kind != "extra_forbidden"
    # Of `intake.hosts` nothing is shown: the values of its headers may be secrets.
    secret = place[-1] in hidden or "hosts" in place
    return f" (got {value!r})" if shown and not secret else ""


def settings_environment(settings: Settings) -> dict[str, str]:
    """The environment in which another process loads exactly these settings.

    Each section is one JSON value; overrides of single values are left out, because they would take
    precedence. It contains secrets: pass it to a child process, don't store it.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not (name.startswith("LOOKSTREAM_") and "__" in name)
    }
    values = _revealed(settings.model_dump(mode="json"), settings.model_dump())
    for name, value in values.items():
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        kept[f"LOOKSTREAM_{name.upper()}"] = text
    return kept


def _revealed(dumped: Any, value: Any) -> Any:
    """What was dumped as JSON, with the secrets in it as they are in `value`."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, dict):
        return {name: _revealed(dumped[name], inner) for name, inner in value.items()}
    return dumped
