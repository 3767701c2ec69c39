"""The sections of the settings, with defaults and limits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    SecretStr,
    field_validator,
    model_validator,
)

from stream.connection import SESSION_TIMEOUT_S
from workers.config.secrets import SECRETS, check_one_source

EMBEDDED = "embedded://"
HEADER_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
HEADER_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")
OWN_HEADERS = frozenset(
    [
        "host",
        "connection",
        "content-length",
        "transfer-encoding",
        "te",
        "upgrade",
        "range",
        "expect",
        "accept-encoding",
        "if-none-match",
        "if-modified-since",
    ]
)
"""Headers that the downloads depend on."""


def _number(value: object) -> object:
    """A whole number written as text, as the environment has it: pydantic converts to `int`, but
    compares with the members of a `Literal` as they are."""
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else value


class Section(BaseModel):
    """A group of settings; an unknown key is an error: it is a typing mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class KafkaSettings(Section):
    """Kafka.

    `bootstrap` is `host:port[,host:port…]` of your Kafka, or `embedded://127.0.0.1:PORT`
    for the broker that `lookstream up` starts there. Certificates and keys are PEM files;
    `cert_file` and `key_file` are the client's, for a Kafka that asks for them (mTLS). A worker
    that is not heard of for `session_timeout_s` has left its group; Apache Kafka allows no less
    than 6 s unless its `group.min.session.timeout.ms` says so.
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
    session_timeout_s: float = Field(SESSION_TIMEOUT_S, ge=0.5)
    schema_registry: str | None = Field(
        None, pattern=r"^https?://", description="where schemas are registered; messages get ids"
    )
    schema_registry_username: str | None = None
    schema_registry_password: SecretStr | None = None
    schema_registry_password_file: Path | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_one_source(self, SECRETS["kafka"])
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        return self

    @property
    def embedded(self) -> bool:
        """Whether `lookstream up` starts the broker."""
        return self.bootstrap.startswith(EMBEDDED)

    @property
    def servers(self) -> str:
        """The address for clients."""
        return self.bootstrap.removeprefix(EMBEDDED)


class MilvusSettings(Section):
    """Milvus.

    `uri` is `http(s)://host:port` of your Milvus, or `embedded://127.0.0.1:PORT` for the
    Milvus Lite that `lookstream up` starts there. `kind` chooses the physical layout, which is
    all that depends on it; by default "lite" for the embedded one, "server" for yours. `token` is
    `user:password`. With https:// the server's certificate is checked against `ca_file`, or the
    system's authorities; `cert_file` and `key_file` are the client's, for a server that wants them.
    """

    uri: str = f"{EMBEDDED}127.0.0.1:19531"
    kind: Literal["auto", "lite", "server"] = "auto"
    token: SecretStr | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str | None = Field(
        None, description="the name in the server's certificate, if it is not the address"
    )
    collection: str = Field("products", pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,60}$")
    repartition: bool = Field(True, description="re-key a catalog that has outgrown its prototypes")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_one_source(self, SECRETS["milvus"])
        ours = (self.cert_file, self.key_file)
        if any(ours) and not all((*ours, self.ca_file)):
            raise ValueError("cert_file, key_file and ca_file go together")
        if (self.ca_file or self.server_name) and not self.uri.startswith("https://"):
            raise ValueError("ca_file and server_name are for https:// addresses")
        return self

    @property
    def embedded(self) -> bool:
        """Whether `lookstream up` starts Milvus Lite."""
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
    """The encoder and the reranker."""

    backbone: str = Field(
        "lite2",
        description="lite2, lite0 (faster), a name of `lookstream models list`, hf:OWNER/NAME, "
        "timm:NAME, the folder of a Hugging Face model (a network, or a vision-language model), or "
        "TIMM_NAME:SIZE:PATH of local weights",
    )
    offline: bool = Field(False, description="never fetch an encoder: it must be in the cache")
    text: Literal["minilm", "multilingual"] = Field(
        "minilm",
        description="reads titles and queries: minilm (English), or multilingual (sixteen "
        "languages; the extra of that name)",
    )
    projection: Path | None = Field(
        None, description="what `train embedding` wrote; by default the packaged one"
    )
    reranker: str | None = Field(
        None,
        description="the file that `train reranker` wrote (one for another encoder is not used, "
        "with a note); or a vision-language model that looks at pictures: mllm:FOLDER, "
        "mllm:hf:OWNER/NAME@REVISION, or mllm:http://HOST:PORT/v1#NAME of a server",
    )
    reranker_key: SecretStr | None = Field(None, description="for the reranker's server")
    reranker_key_file: Path | None = None
    dim: Annotated[
        Literal[64, 128, 256, 512, 768, 1152, 1536, 2048] | None, BeforeValidator(_number)
    ] = Field(
        None,
        description="length of the vectors, by default 768, or what a folder's network needs: "
        "shorter ones are prefixes, smaller and faster; 2048 is for vision-language models",
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(0, ge=0, description="0: one per core")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        check_one_source(self, SECRETS["models"])
        return self


class S3Settings(Section):
    """Object storage that speaks S3, for references s3://BUCKET/KEY.

    Credentials come from the environment alone, under their usual names: AWS_ACCESS_KEY_ID,
    AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, or what a cloud sets for a role. Without any, requests
    are not signed, which is enough for public buckets.
    """

    buckets: tuple[str, ...] = Field((), description="BUCKET or BUCKET/PREFIX that may be read")
    endpoint: str | None = Field(None, pattern=r"^https?://", description="None: Amazon's")
    region: str = "us-east-1"


class HostSettings(Section):
    """How one host is asked for pictures.

    `headers` are sent with every request to it and to no other, whatever it redirects to: they may
    hold a secret, such as Authorization. `header_files` name files that hold a header's value.
    """

    parallel: int | None = Field(None, ge=1, description="requests at a time, if not per_host")
    headers: dict[str, SecretStr] = {}
    header_files: dict[str, Path] = {}

    @model_validator(mode="after")
    def _sendable(self) -> Self:
        names = [name.lower() for name in (*self.headers, *self.header_files)]
        if len(set(names)) < len(names):
            raise ValueError("each header has one value, in headers or in header_files")
        for name in names:
            if not HEADER_NAME.fullmatch(name) or name in OWN_HEADERS:
                raise ValueError(f"{name!r} is no header that can be set here")
        for name, value in self.headers.items():
            if not HEADER_VALUE.fullmatch(value.get_secret_value()):
                raise ValueError(f"the value of header {name} is not one line of ASCII")
        return self


class IntakeSettings(Section):
    """What may be fetched, how much of it, and what decoding it may cost.

    `hosts` has a table for each host that is asked in a way of its own, by its name (which stands
    for https), or as SCHEME://HOST:PORT.
    """

    roots: tuple[Path, ...] = Field((), description="folders that file references may point into")
    s3: S3Settings = S3Settings()
    allow_private_addresses: bool = Field(
        False, description="allow requests to any address and port"
    )
    allowed_networks: tuple[IPvAnyNetwork, ...] = Field(
        (), description="networks allowed although they are not public: 10.2.0.0/16"
    )
    ports: tuple[int, ...] = Field((80, 443, 8080, 8443), description="allowed on public addresses")
    timeout_s: float = Field(10.0, gt=0, description="for a connection, and for each read")
    total_s: float = Field(30.0, gt=0, description="for a picture, with redirects and retries")
    patience_s: float = Field(
        120.0, gt=0, description="for waiting until its host is free, or wants to be asked again"
    )
    attempts: int = Field(3, ge=1)
    user_agent: str = Field("lookstream", pattern=rf"^{HEADER_VALUE.pattern}$")
    hosts: dict[str, HostSettings] = {}
    max_bytes: int = Field(20_000_000, gt=0)
    max_pixels: int = Field(60_000_000, gt=0)
    parallel: int = Field(32, ge=1, description="pictures fetched at a time")
    per_host: int = Field(8, ge=1, description="of these, from one host")
    decoders: int = Field(2, ge=1, description="processes that decode pictures")
    decode_s: float = Field(10.0, gt=0, description="for decoding one picture")
    decoder_mb: int = Field(400, ge=100, description="address space of a decoder")

    @field_validator("hosts")
    @classmethod
    def _origins(cls, hosts: dict[str, HostSettings]) -> dict[str, HostSettings]:
        """The same by origin, SCHEME://HOST:PORT."""
        return {_origin(name): host for name, host in hosts.items()}


def _origin(host: str) -> str:
    """The origin that HOST, HOST:PORT or SCHEME://HOST[:PORT] stands for."""
    scheme, named, rest = host.lower().rpartition("://")
    split = urlsplit(f"{scheme or 'https'}://{rest}")
    if (
        (named and scheme not in ("http", "https"))
        or not split.hostname
        or "@" in rest
        or split.netloc != rest
    ):
        shown = host.rpartition("@")[2]  # before it may be a password
        raise ValueError(f"{shown!r} is no host: write cdn.shop.example, or http://10.2.0.7:8080")
    port = split.port or (443 if split.scheme == "https" else 80)
    name = f"[{split.hostname}]" if ":" in split.hostname else split.hostname
    return f"{split.scheme}://{name}:{port}"


class IngestSettings(Section):
    """The ingest worker."""

    batch: int = Field(64, ge=1, le=1000, description="most events written together")
    within_s: float = Field(0.2, gt=0, description="how long events are collected for a batch")
    parked: int = Field(
        256, ge=1, description="most events that wait for pictures; then none are read"
    )
    remember_deletes_s: float = Field(
        30 * 24 * 3600.0, gt=0, description="how long a late event cannot restore a deleted product"
    )
    strict: bool = Field(
        False, description="refuse events that could be coerced: ids that are numbers and so on"
    )
    max_future_s: float = Field(
        24 * 3600.0, ge=0, description="how far ahead of the worker's clock an event's time may be"
    )
    weigh_parts: bool = Field(
        True,
        description="keep a sample of the pictures, and let it say how much identity, appearance "
        "and colour count",
    )
    predict_attributes: bool = Field(
        False,
        description="predict the colour and category that a new product lacks from its "
        "picture, learned from the catalog's other products, as far as `lookstream suggest` finds "
        "that right; words find predicted colours",
    )
    adapt: bool = Field(
        False,
        description="adapt the catalog after each time that its parts were weighed, as "
        "`lookstream adapt` does: some minutes on one core",
    )
    metrics_port: int = Field(9464, ge=0, le=65535, description="0: no metrics endpoint")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.adapt and not self.weigh_parts:
            raise ValueError("adapt follows weigh_parts: set both, or run `lookstream adapt`")
        if self.predict_attributes and not self.weigh_parts:
            raise ValueError("attributes are learned when parts are weighed: set weigh_parts too")
        return self


class QuerySettings(Section):
    """The query worker."""

    batch: int = Field(16, ge=1, le=256, description="most queries searched together")
    deadline_s: float = Field(
        5.0, gt=0, description="for a query's picture; keep it below the clients' time-out"
    )
    in_flight: int = Field(
        128, ge=1, description="most queries under way; then none are read until one is answered"
    )
    candidates: int = Field(100, ge=10, le=1000, description="retrieved and reranked per query")
    retry_s: float = Field(
        10.0, gt=0, description="how long to retry the index, up to the deadline"
    )
    rerank_s: float = Field(
        4.0,
        gt=0,
        description="for a reranker that looks at pictures, and to fetch them; then a list keeps "
        "retrieval's order, and says so. Keep it below the clients' time-out",
    )
    picture_cache_mb: int = Field(
        256, ge=0, description="of candidates' pictures that are kept for such a reranker"
    )
    metrics_port: int = Field(9465, ge=0, le=65535)


class FeedbackSettings(Section):
    """The feedback worker."""

    window_s: float = Field(1800.0, gt=0, description="how long an impression can be clicked")
    click_wait_s: float = Field(10.0, gt=0, description="how long a click waits for its impression")
    metrics_port: int = Field(9466, ge=0, le=65535)


class WebSettings(Section):
    """The web worker.

    `keys` are lines "NAME SCOPE[,SCOPE] SHA256", as `lookstream keys` prints them; `keys_file` has
    more of them. Without any key, requests need none, and the worker listens on loopback alone.
    """

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8420, ge=1, le=65535)
    hosts: tuple[str, ...] = Field(
        (), description="names that the worker is reached by, where there are no keys"
    )
    keys: tuple[str, ...] = ()
    keys_file: Path | None = None
    facets: tuple[str, ...] = Field(
        ("category", "in_stock"),
        max_length=20,
        description="what the page offers to filter by: attributes.colour, price(0, 10, 50, 100)",
    )
    cors_origins: tuple[str, ...] = Field(
        (), description="pages on other servers that may ask: https://shop.example"
    )
    max_body_bytes: int = Field(15_000_000, gt=0, description="of a request")
    rate_per_s: float = Field(100.0, gt=0, description="requests of one key, or address, a second")
    burst: int = Field(200, ge=1, description="requests of one key, or address, at once")
    timeout_s: float = Field(10.0, gt=0, description="for the answer to a query")
    link_secret: SecretStr | None = Field(
        None, description="what links to pictures are signed with; None: drawn at each start"
    )
    link_secret_file: Path | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        check_one_source(self, SECRETS["web"])
        return self
