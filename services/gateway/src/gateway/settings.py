"""What an operator may set. Every limit, timeout and default stands here or in `routes.toml`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from kit.settings import Block, DatabaseSettings, ServiceSettings

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class UpstreamSettings(Block):
    """The services behind, and how they are called. In embedded mode they run in the same process."""

    ingest_url: str = Field("http://ingest:8101", description="where ingest serves HTTP")
    plate_ocr_url: str = Field("http://plate-ocr:8102", description="where plate-ocr serves HTTP")
    tickets_url: str = Field("http://tickets:8103", description="where tickets serves HTTP")
    connect_timeout_s: Seconds = Field(2.0, description="seconds to wait for a connection")
    connect_attempts: int = Field(2, gt=0, le=10, description="times a connection is tried for one request")
    connect_retry_s: Seconds = Field(0.1, description="mean wait in seconds between those tries")
    keep_alive_s: Seconds = Field(
        30.0,
        description="idle seconds after which a connection is closed; below the services' own keep_alive_s",
    )
    max_connections: int = Field(256, gt=0, description="connections to one service; more requests wait")
    max_ws_message_bytes: int = Field(1_048_576, gt=0, description="largest WebSocket message in bytes")
    retry_after_s: int = Field(5, gt=0, description="`Retry-After` in seconds while a service is away")
    circuit_failures: int = Field(
        5, gt=0, description="failed connections in a row after which a service is left alone for a while"
    )
    circuit_pause_s: Seconds = Field(2.0, description="seconds that it is left alone")
    readiness_timeout_s: Seconds = Field(
        2.0, description="seconds to wait when a service is asked for its state"
    )
    document_timeout_s: Seconds = Field(5.0, description="seconds to wait for a service's OpenAPI document")
    document_cache_s: Seconds = Field(60.0, description="seconds that the merged OpenAPI document is kept")

    @field_validator("ingest_url", "plate_ocr_url", "tickets_url", mode="after")
    @classmethod
    def _is_http(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("write http://host:port")
        return value.rstrip("/")

    def urls(self) -> dict[str, str]:
        """The base URL of each service by its name in the route table."""
        return {"ingest": self.ingest_url, "plate-ocr": self.plate_ocr_url, "tickets": self.tickets_url}


class DoorSettings(Block):
    """Who may come in, and what is told to browsers."""

    routes_file: Path | None = Field(None, description="a route table in place of the packaged routes.toml")
    trusted_proxies: tuple[str, ...] = Field(
        (), description="networks of the proxies in front whose X-Forwarded-For is believed, comma separated"
    )
    hsts_s: int = Field(
        0, ge=0, description="seconds of Strict-Transport-Security on answers over TLS; 0 leaves it out"
    )
    max_prefer_wait_s: Seconds = Field(
        60.0, description="longest `Prefer: wait` in seconds that stretches a route's timeout"
    )
    prefer_wait_margin_s: Seconds = Field(
        5.0, description="seconds added to `Prefer: wait`, so that the service's own answer comes through"
    )
    max_tracked_clients: int = Field(
        100_000, gt=0, description="clients whose request rates are kept in memory"
    )


class TokenSettings(Block):
    """Tokens and the keys that sign them. Issuer and audience stand under `auth`."""

    access_ttl_s: int = Field(86_400, gt=0, description="seconds that an access token is valid")
    refresh_ttl_s: int = Field(2_592_000, gt=0, description="seconds that a refresh token is valid")
    check_cache_s: Seconds = Field(
        5.0,
        description="seconds after which another replica's sign-out is noticed; a replica's own is at once",
    )
    key_reload_s: Seconds = Field(30.0, description="seconds between looks for keys that were rotated")
    key_publish_ahead_s: int = Field(
        600,
        gt=0,
        description="seconds that a new key is published before it signs; above the services' jwks_refresh_s",
    )
    sweep_interval_s: Seconds = Field(3_600.0, description="seconds between sweeps of expired tokens")


class SignInSettings(Block):
    """Passwords and guesses at them."""

    min_password_chars: int = Field(
        6,
        ge=1,
        description="shortest password in characters that may be set; sites should ask for 12 or more",
    )
    max_password_chars: int = Field(256, ge=1, le=4096, description="longest password in characters")
    max_failures: int = Field(
        10, gt=0, description="wrong passwords for a user from an address before that pair is locked out"
    )
    failure_window_s: Seconds = Field(900.0, description="seconds within which those add up")
    lockout_s: Seconds = Field(300.0, description="seconds that the pair is locked out")
    hashes_at_once: int = Field(
        2,
        gt=0,
        description="passwords hashed side by side; each takes hash_memory_kib for tens of milliseconds",
    )
    hash_memory_kib: int = Field(
        65_536, ge=8_192, description="memory of one Argon2id hash in KiB (RFC 9106)"
    )
    hash_passes: int = Field(3, ge=1, description="passes over that memory")
    hash_lanes: int = Field(4, ge=1, description="threads of one hash")


class GatewaySettings(ServiceSettings):
    """The settings of the gateway."""

    service_name: ClassVar[str] = "gateway"
    defaults: ClassVar[Mapping[str, Any]] = {"http.port": 8000}

    database: DatabaseSettings = Field(description="users, roles, permissions, tokens and signing keys")
    secrets_key: SecretStr = Field(
        SecretStr(""),
        description="key that the signing keys are encrypted with at rest; required in distributed mode",
    )
    superadmin_password: SecretStr = Field(
        SecretStr(""),
        description="password of the `superadmin` made on first start; empty: one is made up and printed",
    )
    upstreams: UpstreamSettings = Field(default_factory=UpstreamSettings, description="services behind")
    door: DoorSettings = Field(default_factory=DoorSettings, description="who may come in")
    tokens: TokenSettings = Field(default_factory=TokenSettings, description="tokens and their keys")
    sign_in: SignInSettings = Field(default_factory=SignInSettings, description="passwords")

    @model_validator(mode="after")
    def _secrets_have_a_key(self) -> Self:
        if self.mode == "distributed" and not self.secrets_key.get_secret_value():
            raise ValueError("secrets_key: required in distributed mode")
        return self
