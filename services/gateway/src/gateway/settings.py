"""The settings. Every limit, timeout and default is here or in `routes.toml`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, SecretStr

from kit.settings import Block, DatabaseSettings, SecretsSettings
from kit.size_limits import MAX_PICTURE_BYTES

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class UpstreamSettings(Block):
    """The services behind the gateway. In embedded mode they run in the same process."""

    urls: dict[str, str] = Field(
        default_factory=dict,
        description='where services serve HTTP, JSON: `{"ingest": "http://host:port"}`; others as in the route table',
    )
    connect_timeout_s: Seconds = Field(2.0, description="seconds to wait for a connection")
    connect_attempts: int = Field(2, gt=0, le=10, description="times a connection is tried for one request")
    connect_retry_s: Seconds = Field(0.1, description="mean wait in seconds between those tries")
    keep_alive_s: Seconds = Field(
        30.0,
        description="idle seconds after which a connection is closed; below the services' own keep_alive_s",
    )
    max_connections: int = Field(256, gt=0, description="connections to one service; more requests wait")
    max_ws_message_bytes: int = Field(1_048_576, gt=0, description="largest WebSocket message in bytes")
    retry_after_s: int = Field(
        5, gt=0, description="`Retry-After` in seconds while a service cannot be reached"
    )
    circuit_max_failures: int = Field(
        5, gt=0, description="failed connections in a row that open the circuit breaker of a service"
    )
    circuit_open_s: Seconds = Field(
        2.0, description="seconds that an open circuit breaker answers 503 without trying to connect"
    )
    readiness_timeout_s: Seconds = Field(2.0, description="seconds to wait for a service's /health/ready")
    document_timeout_s: Seconds = Field(5.0, description="seconds to wait for a service's OpenAPI document")
    document_cache_s: Seconds = Field(60.0, description="seconds that the merged OpenAPI document is cached")


class ProxySettings(Block):
    """How requests are forwarded, and for whom."""

    routes_file: Path | None = Field(None, description="a route table instead of the packaged routes.toml")
    trusted_proxies: tuple[str, ...] = Field(
        (),
        description="networks of the proxies whose X-Forwarded-For is trusted, comma separated",
    )
    hsts_s: int = Field(
        0,
        ge=0,
        description="max-age of Strict-Transport-Security over TLS in seconds; 0 leaves the header out",
    )
    max_prefer_wait_s: Seconds = Field(
        60.0, description="longest `Prefer: wait` in seconds that extends a route's timeout"
    )
    prefer_wait_margin_s: Seconds = Field(
        5.0,
        description="seconds added to `Prefer: wait`, so that the service responds before the gateway's timeout",
    )
    max_picture_bytes: int = Field(
        MAX_PICTURE_BYTES,
        gt=0,
        description="largest picture in bytes; the largest bodies of routes that take one follow from it",
    )
    max_tracked_clients: int = Field(
        100_000, gt=0, description="clients whose request rates are held in memory"
    )


class TokenSettings(Block):
    """Tokens and the keys that sign them. Issuer and audience are under `auth`."""

    access_ttl_s: int = Field(86_400, gt=0, description="seconds that an access token is valid")
    refresh_ttl_s: int = Field(2_592_000, gt=0, description="seconds that a refresh token is valid")
    unstored_ttl_s: int = Field(
        3_600,
        gt=0,
        description="seconds that an access token is valid which was issued while the database's disk is full",
    )
    verification_cache_s: Seconds = Field(
        5.0,
        description="seconds that a verified token is cached: a sign-out at another replica takes effect after it",
    )
    key_reload_s: Seconds = Field(30.0, description="seconds between reads of the signing keys")
    key_publish_ahead_s: int = Field(
        600,
        gt=0,
        description="seconds that a new key is published before it signs; longer than the services' jwks_refresh_s",
    )
    cleanup_interval_s: Seconds = Field(3_600.0, description="seconds between deletions of expired tokens")


class SignInSettings(Block):
    """Passwords, and the lockout after wrong ones."""

    min_password_chars: int = Field(
        6,
        ge=1,
        description="shortest password in characters that may be set; sites should ask for 12 or more",
    )
    min_guesses_log10: float = Field(
        6.0,
        ge=0,
        description="guesses that a password must withstand, as a power of ten, estimated with lists of common ones;"
        " 0 accepts any",
    )
    max_password_chars: int = Field(256, ge=1, le=4096, description="longest password in characters")
    max_failures: int = Field(
        10,
        gt=0,
        description="wrong passwords for a user from one address after which that pair is locked out",
    )
    failure_window_s: Seconds = Field(900.0, description="seconds within which wrong passwords are added up")
    lockout_s: Seconds = Field(300.0, description="seconds that the pair is locked out")
    max_concurrent_hashes: int = Field(
        2,
        gt=0,
        description="passwords hashed at the same time; each takes hash_memory_kib for tens of milliseconds",
    )
    hash_memory_kib: int = Field(
        65_536, ge=8_192, description="memory of one Argon2id hash in KiB (RFC 9106)"
    )
    hash_passes: int = Field(3, ge=1, description="passes over that memory")
    hash_lanes: int = Field(4, ge=1, description="threads of one hash")


class GatewaySettings(SecretsSettings):
    """The settings of the gateway."""

    service_name: ClassVar[str] = "gateway"
    defaults: ClassVar[Mapping[str, Any]] = {"http.port": 8000, "http.max_connections_per_address": 256}

    aliases: ClassVar[Mapping[str, str]] = {"LOOKOUT_MAX_PICTURE_BYTES": "proxy.max_picture_bytes"}

    database: DatabaseSettings = Field(description="users, roles, permissions, tokens and signing keys")
    superadmin_password: SecretStr = Field(
        SecretStr(""),
        description="password of the `superadmin` created on first start; empty: one is generated and printed",
    )
    upstreams: UpstreamSettings = Field(
        default_factory=UpstreamSettings, description="services behind the gateway"
    )
    proxy: ProxySettings = Field(default_factory=ProxySettings, description="forwarding")
    tokens: TokenSettings = Field(default_factory=TokenSettings, description="tokens and their keys")
    sign_in: SignInSettings = Field(default_factory=SignInSettings, description="passwords")
