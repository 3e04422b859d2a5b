"""The blocks that services compose their settings from. The descriptions are printed in docs/configuration.md."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_core import PydanticCustomError

from kit.picture_limits import PictureLimits
from kit.size_limits import MAX_PICTURE_BYTES, message_bytes

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Block(BaseModel):
    """A part of a service's settings. A misspelt field is an error, and no error text repeats a value."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class LogSettings(Block):
    """What is logged, and in which format."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="lowest level written")
    format: Literal["json", "console"] = Field(
        "json", description="JSON lines, or text for a terminal: what is written to standard output"
    )
    file: Path | None = Field(
        None,
        description="file that every line is written to as well, as JSON; for one process only. `lookout serve`:"
        " `<data_dir>/logs/lookout.log`",
    )
    max_file_bytes: int = Field(
        10_485_760,
        gt=0,
        description="size in bytes at which that file is renamed to `….1` and a new one begun",
    )
    max_files: int = Field(
        5, ge=0, description="files that are kept, the current one included; 0: none is written"
    )

    @field_validator("level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value


class TracingSettings(Block):
    """Which traces are recorded, and where they go."""

    otlp_endpoint: str = Field(
        "",
        description="OpenTelemetry collector that spans are sent to by OTLP over gRPC, such as"
        " `http://collector:4317`, or `https://` for TLS; empty: no spans are recorded",
    )
    sample_ratio: float = Field(
        1.0, ge=0, le=1, description="share of traces that are recorded; set the same for all services"
    )
    queue_spans: int = Field(4096, gt=0, description="spans kept for the next export; more are dropped")
    export_interval_s: Seconds = Field(5.0, description="seconds between exports")
    export_timeout_s: Seconds = Field(
        10.0, description="seconds that an export may take, retries included; then its spans are dropped"
    )

    @field_validator("otlp_endpoint", mode="after")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        if not value or (value.startswith(("http://", "https://")) and value.partition("://")[2]):
            return value
        raise ValueError("write http://host:port or https://host:port")


class HttpSettings(Block):
    """The REST listener."""

    host: str = Field("0.0.0.0", description="address to listen on")  # noqa: S104 - a container is reached from outside; embedded mode listens on loopback only
    port: Port = Field(8000, description="port to listen on; 0 takes a free one")
    max_body_bytes: int = Field(
        1_048_576, gt=0, description="largest request body in bytes, where a path has no limit of its own"
    )
    page_size_default: int = Field(
        50, gt=0, description="items per page of a list when the caller sets no page size"
    )
    page_size_max: int = Field(200, gt=0, description="largest page size that a caller may ask for")
    cors_origins: tuple[str, ...] = Field(
        (), description="origins that browsers may call from, comma separated, or `*`"
    )
    keep_alive_s: int = Field(75, gt=0, description="idle time in seconds after which a connection is closed")
    max_connections: int = Field(
        4096,
        gt=0,
        description="open connections; then the one that waits longest for a request is closed. Fewer where the process"
        " may not open so many files",
    )
    max_connections_per_address: int = Field(
        0,
        ge=0,
        description="open connections of one address (IPv6: /64 network); then as for `max_connections`."
        " 0: no limit, for services that are called by a gateway",
    )
    head_timeout_s: Seconds = Field(
        10.0, description="seconds for the head of a request, from the connection or its first byte"
    )
    max_head_bytes: int = Field(
        65_536,
        gt=0,
        description="bytes of the head of a request (its line and headers), and of what follows its body; more get 431",
    )
    body_grace_s: Seconds = Field(
        10.0, description="seconds before `min_body_bytes_per_s` applies to the body of a request"
    )
    min_body_bytes_per_s: int = Field(
        2048, ge=0, description="bytes a second that a body must reach on average; slower ones get 408"
    )
    write_timeout_s: Seconds = Field(
        30.0, description="seconds that a client may take nothing of its response; then it is disconnected"
    )
    backlog: int = Field(
        2048, gt=0, description="connections that the operating system queues before they are accepted"
    )
    metrics_token: SecretStr = Field(
        SecretStr(""), description="bearer token that `/metrics` asks for; empty: anybody may read it"
    )
    is_state_public: bool = Field(
        True,
        description="show anybody the state of each part, at `/health/ready` and on the gateway's start page",
    )
    drain_delay_s: float = Field(
        0.0,
        ge=0,
        le=300,
        description="seconds between reporting not ready and closing the port, for load balancers",
    )
    shutdown_grace_s: Seconds = Field(
        20.0,
        description="seconds that work in progress may take to finish on shutdown; then the process ends",
    )

    @field_validator("cors_origins", mode="after")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if origin != "*" and not origin.startswith(("http://", "https://")):
                raise ValueError(f"{origin!r} is not an origin: write scheme://host[:port], or * for any")
        if "*" in value and len(value) > 1:
            raise ValueError("* cannot be combined with other origins")
        return tuple(origin.rstrip("/") for origin in value)


def tokens_of(text: SecretStr) -> tuple[str, ...]:
    """The tokens of a setting that may have several, separated by commas, while one is replaced; the first is sent."""
    return tuple(token for part in text.get_secret_value().split(",") if (token := part.strip()))


_RPC_PATTERN = re.compile(r"[A-Za-z_][\w.]*/([A-Za-z_]\w*|\*)", re.ASCII)


class GrpcCaller(Block):
    """One caller of a service's RPCs, and what it may call."""

    token: SecretStr = Field(description="what it sends; several, separated by commas, while one is replaced")
    methods: frozenset[str] = Field(
        description="`package.Service/Method`, or `package.Service/*` for all methods of one"
    )

    @field_validator("token", mode="after")
    @classmethod
    def _has_token(cls, value: SecretStr) -> SecretStr:
        if not tokens_of(value):
            raise ValueError("a caller needs a token")
        return value

    @field_validator("methods", mode="after")
    @classmethod
    def _known_form(cls, value: frozenset[str]) -> frozenset[str]:
        for method in sorted(value):
            if not _RPC_PATTERN.fullmatch(method):
                raise ValueError(
                    f"{method!r} is no method: write package.Service/Method or package.Service/*"
                )
        return value

    def may_call(self, method: str) -> bool:
        """Whether it may call `package.Service/Method`."""
        return method in self.methods or f"{method.partition('/')[0]}/*" in self.methods


class GrpcSettings(Block):
    """The gRPC listener, and what calls to other services carry."""

    host: str = Field("0.0.0.0", description="address to listen on")  # noqa: S104 - as for HTTP
    port: Port = Field(
        0, description="port to listen on; 0: none, embedded services use sockets in `data_dir`"
    )
    token: SecretStr = Field(
        SecretStr(""),
        description="token that this service sends to others; where `callers` is not set, also what it accepts from"
        " them, for every method. Several, separated by commas, while one is replaced: the first is sent",
    )
    callers: dict[str, GrpcCaller] | None = Field(
        None,
        description='JSON of who may call what, by name: `{"shop": {"token": "…", "methods":'
        ' ["example.parcels.v1.Parcels/GetParcel"]}}`; `{}`: nobody. This or `token` is required where gRPC is on',
        repr=False,
        json_schema_extra={"secret": True},
    )
    max_message_bytes: int = Field(
        message_bytes(MAX_PICTURE_BYTES),
        gt=0,
        description="largest message in bytes, sent or received: twice a picture and 64 KiB",
    )
    default_deadline_s: Seconds = Field(
        30.0, description="seconds that a call may take when the caller set no deadline"
    )
    keepalive_s: Seconds = Field(30.0, description="seconds between pings on an idle connection")
    max_connection_age_s: Seconds = Field(
        300.0, description="seconds after which a connection is renewed, so that new replicas get calls too"
    )
    is_reflection_enabled: bool = Field(
        False, description="describe the methods to clients such as grpcurl (server reflection)"
    )
    max_concurrent_calls: int = Field(256, gt=0, description="concurrent calls; more are refused")
    tls_certificate: Path | None = Field(
        None, description="PEM file with the certificate chain; TLS is on where it is set"
    )
    tls_key: Path | None = Field(None, description="PEM file with the certificate's private key")
    tls_ca: Path | None = Field(
        None, description="PEM file with the certificate authority that peers are checked against"
    )
    is_client_certificate_required: bool = Field(
        False, description="refuse callers without a certificate of `tls_ca`"
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            absent = "tls_key" if self.tls_key is None else "tls_certificate"
            raise needed(absent, "required: tls_certificate and tls_key go together")
        if self.is_client_certificate_required and self.tls_ca is None:
            raise needed("tls_ca", "required where is_client_certificate_required is on")
        owners: dict[str, str] = {}
        for name, caller in (self.callers or {}).items():
            for token in tokens_of(caller.token):
                if owners.setdefault(token, name) != name:
                    raise needed(
                        "callers", f"{owners[token]} and {name} have the same token: give each its own"
                    )
        return self


class AuthSettings(Block):
    """How access tokens are checked."""

    jwks_url: str = Field(
        "http://127.0.0.1:8000/.well-known/jwks.json",
        description="URL of the public keys (JWKS) that tokens are signed with",
    )
    issuer: str = Field("lookout", description="`iss` that a token must carry")
    audience: str = Field("lookout", description="`aud` that a token must carry")
    leeway_s: int = Field(30, ge=0, description="tolerated difference between clocks in seconds")
    jwks_refresh_s: Seconds = Field(300.0, description="seconds after which the keys are fetched again")
    jwks_min_refresh_s: Seconds = Field(
        10.0, description="shortest time in seconds between two fetches, even when tokens name unknown keys"
    )
    jwks_timeout_s: Seconds = Field(5.0, description="seconds to wait for the keys")


def with_password(values: Any) -> Any:
    """The values of a block with `url` and `password`: the password put into the URL, whatever characters it has.

    A URL would need them escaped (RFC 3986, 3.2.1), and a compose file cannot do that.
    """
    if not isinstance(values, dict) or not (password := values.get("password")):
        return values
    text = password.get_secret_value() if isinstance(password, SecretStr) else str(password)
    scheme, slashes, rest = str(values.get("url", "")).partition("://")
    user, at, host = rest.rpartition("@")
    if not (slashes and at):
        return values  # nobody to have the password: an SQLite file, or a URL that is refused anyway
    name = user.partition(":")[0]
    return {**values, "url": f"{scheme}://{name}:{quote(text, safe='')}@{host}"}


class DatabaseSettings(Block):
    """A service's own database."""

    url: str = Field(
        description="`postgresql://user:password@host:port/name` or `sqlite:///path`",
        repr=False,
        json_schema_extra={"secret": True},
    )
    password: SecretStr = Field(
        SecretStr(""), description="password instead of the one in `url`; its characters need no escaping"
    )
    pool_size: int = Field(10, gt=0, description="connections kept open")
    connect_timeout_s: Seconds = Field(5.0, description="seconds to wait for a connection")
    statement_timeout_s: Seconds = Field(15.0, description="seconds after which a statement is cancelled")
    lock_timeout_s: Seconds = Field(5.0, description="seconds that a migration waits for a table lock")
    retry_after_s: int = Field(
        5, gt=0, description="`Retry-After` in seconds while the database is unavailable"
    )
    migrate_on_start: bool = Field(
        True, description="migrate the schema to the newest revision when the service starts"
    )

    _with_password = model_validator(mode="before")(with_password)

    @field_validator("url", mode="after")
    @classmethod
    def _normalise(cls, value: str) -> str:
        return database_url(value)


class BusSettings(Block):
    """The event bus, its consumers, and the outbox and inbox."""

    url: str = Field(
        description="`amqp://user:password@host:port/vhost`, or `sqlite:///path` for one process",
        repr=False,
        json_schema_extra={"secret": True},
    )
    password: SecretStr = Field(
        SecretStr(""), description="password instead of the one in `url`; its characters need no escaping"
    )
    exchange: str = Field("lookout.events", description="topic exchange that all events go through")
    shards: int = Field(
        4, gt=0, le=64, description="queues that an ordered consumer's partition keys are distributed over"
    )
    prefetch: int = Field(
        200,
        gt=0,
        le=60_000,
        description="unacknowledged messages of one queue; those of a key that waits for a retry count too",
    )
    concurrency: int = Field(32, gt=0, description="concurrent handlers of each consumer")
    batch_size: int = Field(
        50, gt=0, description="largest number of deliveries that are handled in one transaction"
    )
    connect_timeout_s: Seconds = Field(10.0, description="seconds to wait for the broker to answer")
    heartbeat_s: int = Field(
        20, gt=0, description="seconds after which a silent broker counts as disconnected"
    )
    publish_timeout_s: Seconds = Field(10.0, description="seconds to wait for a publish to be confirmed")
    retry_delays_s: tuple[float, ...] = Field(
        (1.0, 5.0, 30.0, 120.0),
        description="delays in seconds before each retry of an unordered consumer; after the last, dead letter",
    )
    ordered_retry_delays_s: tuple[float, ...] = Field(
        (0.2, 1.0, 5.0, 15.0, 30.0),
        description="delays in seconds before each retry of an ordered consumer; its partition key waits",
    )
    delivery_limit: int = Field(
        100,
        gt=0,
        description="deliveries after which the bus dead-letters a message by itself; well above max_crashes, because"
        " the messages that are unacknowledged at a crash are delivered again with the one that caused it",
    )
    max_crashes: int = Field(
        3,
        ge=2,
        description="times that the process may crash while it handles one message; then it is a dead letter. The first"
        " crash counts for all that were unacknowledged",
    )
    outage_probe_interval_s: Seconds = Field(
        2.0,
        description="seconds after which an ordered consumer tries one of its waiting messages again while a server"
        " that its handler needs is unavailable; when that one is handled, so are the others",
    )
    outage_retry_limit_s: Seconds = Field(
        3600.0,
        description="seconds that a message is retried while a server that its handler needs is unavailable",
    )
    processing_limit_s: Seconds = Field(
        600.0,
        description="seconds after which an unacknowledged message is returned to its queue and delivered again;"
        " well below the broker's consumer timeout, half an hour by default",
    )
    shutdown_grace_s: Seconds = Field(
        20.0, description="seconds that handlers may take to finish on shutdown"
    )
    reconnect_max_s: Seconds = Field(3.0, description="longest wait in seconds between attempts to connect")
    queue_depth_interval_s: Seconds = Field(
        15.0, description="seconds between measurements of the queue depths"
    )
    relay_batch_size: int = Field(500, gt=0, description="outbox rows that are published together")
    relay_poll_interval_s: Seconds = Field(
        1.0, description="seconds between polls of the outbox for events that another process stored"
    )
    relay_outage_backoff_max_s: Seconds = Field(
        2.0,
        description="longest delay in seconds before the relay tries a broker or database that is unavailable again",
    )
    relay_backoff_max_s: Seconds = Field(
        30.0, description="longest delay in seconds before publishing an event is retried"
    )
    outbox_retention_s: Seconds = Field(
        86_400.0, description="seconds that published events stay in the outbox"
    )
    inbox_retention_s: Seconds = Field(
        1_209_600.0,
        description="seconds that a handled event is remembered; a duplicate after that is handled again",
    )
    sweep_interval_s: Seconds = Field(
        600.0, description="seconds between deletions of old rows in outbox and inbox"
    )
    poll_interval_s: Seconds = Field(
        0.2, description="seconds between polls of the embedded bus for events of another process"
    )
    busy_timeout_s: Seconds = Field(
        10.0, description="seconds to wait while another process writes to the embedded bus"
    )

    _with_password = model_validator(mode="before")(with_password)

    @field_validator("url", mode="after")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        if value.startswith(("amqp://", "amqps://", "sqlite:///")):
            return value
        raise ValueError("write amqp://…, amqps://… or sqlite:///path")

    @field_validator("retry_delays_s", "ordered_retry_delays_s", mode="after")
    @classmethod
    def _positive(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 < delay <= 86_400 for delay in value):
            raise ValueError("each delay is more than 0 and at most 86400 seconds")
        return value


class BlobSettings(Block):
    """The blob store."""

    url: str = Field(
        description="`s3://host:port/bucket` or `file:///directory`; or give `endpoint` (MINIO_ENDPOINT)"
    )
    access_key: str = Field("", description="name of the S3 account; required for s3://")
    secret_key: SecretStr = Field(SecretStr(""), description="its password; required for s3://")
    is_secure: bool = Field(False, description="use TLS to the S3 server")
    endpoint: str = Field("", description="`host:port` of the S3 server, used where `url` is not given")
    bucket: str = Field("lookout", description="bucket, used where `url` is not given")
    timeout_s: Seconds = Field(10.0, description="seconds to wait for the store")
    retry_after_s: int = Field(5, gt=0, description="`Retry-After` in seconds while the store is unavailable")

    @model_validator(mode="before")
    @classmethod
    def _url_from_parts(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("url") or not data.get("endpoint"):
            return data
        scheme, found, host = str(data["endpoint"]).rpartition("://")
        is_secure = {"is_secure": scheme == "https"} if found and "is_secure" not in data else {}
        return {**data, **is_secure, "url": f"s3://{host.rstrip('/')}/{data.get('bucket') or 'lookout'}"}

    @field_validator("url", mode="after")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        if value.startswith("file:///") or (value.startswith("s3://") and value.count("/") >= 3):
            return value
        raise ValueError("write s3://host:port/bucket or file:///directory")

    @model_validator(mode="after")
    def _keys_for_s3(self) -> Self:
        if self.url.startswith("s3://") and not (self.access_key and self.secret_key.get_secret_value()):
            raise needed("secret_key" if self.access_key else "access_key", "required for an S3 store")
        return self


class DiskSettings(Block):
    """The free space below which pictures are refused; for databases and blobs on a local disk."""

    reserve_bytes: int = Field(
        536_870_912,
        ge=0,
        description="free bytes of the file system below which pictures are refused with 507; 0: until it is full",
    )
    max_reserve_percent: float = Field(
        5.0, ge=0, le=50, description="largest part of a small file system, in percent, that is kept free"
    )
    resume_margin_percent: float = Field(
        10.0, ge=0, description="percent above the reserve from which pictures are accepted again"
    )
    check_interval_s: Seconds = Field(2.0, description="seconds between two looks at the free space")
    retry_after_s: int = Field(60, gt=0, description="`Retry-After` in seconds while pictures are refused")


def needed(field: str, reason: str) -> PydanticCustomError:
    """The error of a rule over several fields, reported under the one (a dotted path) that has to be set."""
    return PydanticCustomError("needed", "{reason}", {"field": field, "reason": reason})


def database_url(url: str) -> str:
    """The same URL with the asynchronous driver in its scheme.

    Raises:
        ValueError: it is neither PostgreSQL nor SQLite. The text never contains the password.
    """
    scheme, found, rest = url.partition("://")
    if not found:
        raise ValueError("write postgresql://user:password@host:port/name or sqlite:///path")
    if scheme in {"postgres", "postgresql", "postgresql+psycopg"}:
        return f"postgresql+psycopg://{rest}"
    if scheme in {"sqlite", "sqlite+aiosqlite"}:
        if not rest.startswith("/") or rest == "/":
            raise ValueError("write sqlite:///relative/path or sqlite:////absolute/path")
        return f"sqlite+aiosqlite://{rest}"
    if scheme.startswith(("mysql", "mariadb")):
        raise ValueError(
            "MySQL is not supported: the schema uses PostgreSQL's or SQLite's locking; "
            "write postgresql://… or sqlite:///path"
        )
    raise ValueError(f"{scheme}:// is not supported: write postgresql://… or sqlite:///path")


class PictureLimitSettings(Block):
    """What a picture from outside may need, beside its number of pixels: the same for every way in."""

    max_side_px: int = Field(16_384, gt=0, description="largest width and height in pixels")
    max_aspect: float = Field(
        25.0, ge=1, allow_inf_nan=False, description="largest ratio of the longer side to the shorter one"
    )
    max_decoding_bytes: int = Field(
        110_000_000,
        gt=0,
        description="largest memory in bytes that decoding a picture may need: 6 a pixel, more for progressive JPEG,"
        " WebP, 16 bits, and pictures that are turned",
    )
    max_jpeg_scans: int = Field(
        32, gt=0, description="largest number of scans of a progressive JPEG; encoders write about ten"
    )
    max_metadata_bytes: int = Field(
        4_194_304, gt=0, description="largest texts and profiles of a PNG in bytes, unpacked"
    )

    def limits(self, max_pixels: int) -> PictureLimits:
        """The limits of the admission check."""
        return PictureLimits(
            max_pixels=max_pixels,
            max_side_px=self.max_side_px,
            max_aspect=self.max_aspect,
            max_decoding_bytes=self.max_decoding_bytes,
            max_jpeg_scans=self.max_jpeg_scans,
            max_metadata_bytes=self.max_metadata_bytes,
        )
