"""Settings: one TOML of `configs/` (or your own file), overridden by the environment.

`LOOKSTREAM_PROFILE` names a file of `configs/` ("embedded") or gives the path of a TOML;
`LOOKSTREAM_SECTION__KEY` overrides one value, for instance `LOOKSTREAM_KAFKA__BOOTSTRAP`.
Secrets come from the environment or from files (`workers.secrets`); they never show in a log, an
error or a repr.
"""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self

import orjson
import pydantic_settings
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from workers.errors import SettingsError
from workers.secrets import SECRETS, one_place

PROFILE_VARIABLE = "LOOKSTREAM_PROFILE"
EMBEDDED = "embedded://"


class Section(BaseModel):
    """A group of settings; an unknown key is an error, because it is a typing slip."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class KafkaSettings(Section):
    """Where the events are.

    `bootstrap` is `host:port[,host:port…]` of a Kafka of yours, or `embedded://127.0.0.1:PORT`
    for the broker that `lookstream up` starts there. Certificates and keys are PEM files;
    `cert_file` and `key_file` are ours, for a Kafka that asks for them (mTLS).
    """

    bootstrap: str = f"{EMBEDDED}127.0.0.1:19092"
    prefix: str = Field("lookstream", pattern=r"^[A-Za-z0-9._-]{1,100}$")
    replication_factor: int = Field(1, ge=1)
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    key_password: SecretStr | None = None
    key_password_file: Path | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        one_place(self, SECRETS["kafka"])
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        return self

    @property
    def embedded(self) -> bool:
        """Whether the broker is ours to start."""
        return self.bootstrap.startswith(EMBEDDED)

    @property
    def servers(self) -> str:
        """The address for clients."""
        return self.bootstrap.removeprefix(EMBEDDED)


class MilvusSettings(Section):
    """Where the index is.

    `uri` is `http(s)://host:port` of a Milvus of yours, or `embedded://127.0.0.1:PORT` for the
    Milvus Lite that `lookstream up` starts there. `kind` chooses the physical layout, which the
    workers do not see; by default "lite" for the embedded one, "server" for yours. `token` is
    `user:password`. With https:// the server's certificate is checked against `ca_file`, or the
    system's authorities; `cert_file` and `key_file` are ours, for a server that asks for them.
    """

    uri: str = f"{EMBEDDED}127.0.0.1:19531"
    kind: Literal["auto", "lite", "server"] = "auto"
    token: SecretStr | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str | None = Field(
        None, description="what the server's certificate calls it, if not by its address"
    )
    collection: str = Field("products", pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,60}$")
    rekey: bool = Field(True, description="re-key a catalog that has outgrown its prototypes")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        one_place(self, SECRETS["milvus"])
        ours = (self.cert_file, self.key_file)
        if any(ours) and not all((*ours, self.ca_file)):
            raise ValueError("cert_file, key_file and ca_file go together")
        if (self.ca_file or self.server_name) and not self.uri.startswith("https://"):
            raise ValueError("ca_file and server_name are for https:// addresses")
        return self

    @property
    def embedded(self) -> bool:
        """Whether Milvus Lite is ours to start."""
        return self.uri.startswith(EMBEDDED)

    @property
    def address(self) -> str:
        """The URI for clients."""
        return self.uri.replace(EMBEDDED, "http://", 1)

    @property
    def layout(self) -> Literal["lite", "server"]:
        """The physical layout."""
        if self.kind == "auto":
            return "lite" if self.embedded else "server"
        return self.kind


class ModelSettings(Section):
    """What looks at the pictures."""

    backbone: str = Field(
        "lite2", description="lite2, lite0 (faster), or TIMM_NAME:SIZE:PATH of local weights"
    )
    projection: Path | None = Field(
        None, description="what `train embedding` wrote; by default the one that comes along"
    )
    reranker: Path | None = Field(None, description="what `train reranker` wrote")
    dim: Literal[64, 128, 256, 512] = Field(
        512, description="length of the vectors: shorter ones are prefixes, smaller and faster"
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(0, ge=0, description="0: one per core")


class S3Settings(Section):
    """Object storage that speaks S3, for references s3://BUCKET/KEY.

    Credentials come from the environment alone, under their usual names: AWS_ACCESS_KEY_ID,
    AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, or what a cloud puts there for a role. Without any,
    requests are not signed, as public buckets allow.
    """

    buckets: tuple[str, ...] = Field((), description="BUCKET or BUCKET/PREFIX that may be read")
    endpoint: str | None = Field(None, pattern=r"^https?://", description="None: Amazon's")
    region: str = "us-east-1"


class IntakeSettings(Section):
    """What may be fetched, how much of it, and what decoding it may cost."""

    roots: tuple[Path, ...] = Field((), description="folders that file references may point into")
    s3: S3Settings = S3Settings()
    allow_private_addresses: bool = Field(False, description="any address and port may be asked")
    allowed_networks: tuple[IPvAnyNetwork, ...] = Field(
        (), description="networks that may be asked although they are not public: 10.2.0.0/16"
    )
    ports: tuple[int, ...] = Field((80, 443, 8080, 8443), description="that may be asked in public")
    timeout_s: float = Field(10.0, gt=0, description="for a connection, and for each part read")
    total_s: float = Field(30.0, gt=0, description="for a picture, with redirects and retries")
    attempts: int = Field(3, ge=1)
    max_bytes: int = Field(20_000_000, gt=0)
    max_pixels: int = Field(60_000_000, gt=0)
    parallel: int = Field(8, ge=1)
    decoders: int = Field(2, ge=1, description="processes that decode pictures")
    decode_s: float = Field(10.0, gt=0, description="for decoding one picture")
    decoder_mb: int = Field(400, ge=100, description="address space of a decoder")


class IngestSettings(Section):
    """The ingest worker."""

    batch: int = Field(64, ge=1, le=1000)
    within_s: float = Field(0.2, gt=0)
    remember_deletes_s: float = Field(
        30 * 24 * 3600.0, gt=0, description="so long a late event cannot raise a deleted product"
    )
    metrics_port: int = Field(9464, ge=0, le=65535, description="0: no metrics endpoint")


class QuerySettings(Section):
    """The query worker."""

    batch: int = Field(16, ge=1, le=256)
    candidates: int = Field(100, ge=10, le=1000, description="retrieved and reranked per query")
    patience_s: float = Field(10.0, gt=0, description="how long to retry the index for one batch")
    metrics_port: int = Field(9465, ge=0, le=65535)


class FeedbackSettings(Section):
    """The feedback worker."""

    window_s: float = Field(1800.0, gt=0, description="how long an impression can be clicked")
    patience_s: float = Field(10.0, gt=0, description="how long a click waits for its impression")
    metrics_port: int = Field(9466, ge=0, le=65535)


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
    ingest: IngestSettings = IngestSettings()
    query: QuerySettings = QuerySettings()
    feedback: FeedbackSettings = FeedbackSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over file; nothing is read from the working folder unasked."""
        toml = TomlConfigSettingsSource(settings_cls, toml_file=profile_path())
        return init_settings, env_settings, toml

    def group(self, worker: str) -> str:
        """The consumer group of a kind of worker."""
        return f"{self.kafka.prefix}-{worker}"

    @property
    def milvus_dir(self) -> Path:
        """Where the embedded Milvus Lite keeps its data."""
        return self.data_dir / "milvus"

    @property
    def log_dir(self) -> Path:
        """Where the processes started by `up` write."""
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
        SettingsError: naming each wrong key, what was expected, and where it may come from.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, e['loc']))}: {e['msg']}{_got(e['loc'], e['type'], e['input'])}"
            for e in error.errors(include_url=False)
        )
    except pydantic_settings.SettingsError as error:  # a section that is no JSON
        wrong = str(error)
    raise SettingsError(
        f"settings are wrong: {wrong}. They come from {profile_path()} and from "
        "environment variables LOOKSTREAM_SECTION__KEY"
    )


def _got(place: tuple[int | str, ...], kind: str, value: Any) -> str:
    """What was found instead, unless it may be a secret: a key misspelt, or a whole section."""
    hidden = {*SECRETS, *(name for names in SECRETS.values() for name in names)}
    shown = isinstance(value, str | int | float) and kind != "extra_forbidden"
    return f" (got {value!r})" if shown and place[-1] not in hidden else ""


def settings_environment(settings: Settings) -> dict[str, str]:
    """The environment in which another process loads exactly these settings.

    Each section goes as one JSON value; single-value overrides are taken out, because they would
    win over it. Secrets are in it: give it to a child process, don't write it down.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not (name.startswith("LOOKSTREAM_") and "__" in name)
    }
    values = settings.model_dump(mode="json")
    for section, names in SECRETS.items():
        for name in names:
            value: SecretStr | None = getattr(getattr(settings, section), name)
            values[section][name] = value.get_secret_value() if value else None
    for name, value in values.items():
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        kept[f"LOOKSTREAM_{name.upper()}"] = text
    return kept
