"""Who calls, and what they may: EdDSA tokens checked against the gateway's published keys.

Every service verifies tokens itself, without a call to the gateway.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

import aiohttp
import jwt
from fastapi import Depends
from fastapi.security import OAuth2PasswordBearer
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import HTTPConnection

from kit.clock import Clock, SystemClock
from kit.errors import Forbidden, Unauthenticated, Unavailable
from kit.settings.blocks import AuthSettings

ALGORITHM = "EdDSA"
MAX_TOKEN_CHARS = 16_384
MAX_JWKS_BYTES = 262_144
SUPERADMIN = "superadmin"


class TokenClaims(BaseModel):
    """The claims of an access token; the gateway signs it, `TokenVerifier` verifies it. Times are Unix seconds."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    sub: str
    uid: int
    roles: list[str]
    permissions: list[str]
    jti: str
    iat: int
    exp: int
    iss: str
    aud: str
    typ: Literal["access"] = "access"


@dataclass(frozen=True, slots=True)
class Principal:
    """The signed-in caller."""

    user_id: int
    username: str
    roles: frozenset[str]
    permissions: frozenset[str]
    token_id: str

    def may(self, permission: str) -> bool:
        """Whether a permission such as `orders:read` is held; a superadmin holds all."""
        return SUPERADMIN in self.roles or permission in self.permissions


class JwksSource(Protocol):
    """Where public keys come from."""

    async def keys(self, *, refresh: bool = False) -> Mapping[str, jwt.PyJWK]:
        """The keys by `kid`; `refresh` says that a token named one which was not among them.

        Raises:
            Unavailable: none can be had now.
        """
        ...


def parse_jwks(document: Mapping[str, Any]) -> dict[str, jwt.PyJWK]:
    """The Ed25519 signing keys of a JWKS document (RFC 7517, RFC 8037) by `kid`; others are passed over."""
    keys: dict[str, jwt.PyJWK] = {}
    for entry in document.get("keys", ()):
        if entry.get("kty") == "OKP" and entry.get("crv") == "Ed25519" and isinstance(entry.get("kid"), str):
            keys[entry["kid"]] = jwt.PyJWK(dict(entry), algorithm=ALGORITHM)
    return keys


class StaticJwks:
    """Keys that need no fetch: of a gateway in the same process, or of a test."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._keys = parse_jwks(document)

    def replace(self, document: Mapping[str, Any]) -> None:
        """Take other keys from now on."""
        self._keys = parse_jwks(document)

    async def keys(self, *, refresh: bool = False) -> Mapping[str, jwt.PyJWK]:
        """The keys by `kid`."""
        return self._keys


class HttpJwks:
    """The keys of a JWKS page. Old keys go on being used while the page cannot be fetched."""

    def __init__(self, settings: AuthSettings, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        if not settings.jwks_url.startswith(("http://", "https://")):
            raise ValueError("jwks_url must be http:// or https://")
        self._settings = settings
        self._monotonic = monotonic
        self._keys: dict[str, jwt.PyJWK] = {}
        self._tried_at: float | None = None
        self._fetched_at: float | None = None
        self._one_fetch = asyncio.Lock()

    async def keys(self, *, refresh: bool = False) -> Mapping[str, jwt.PyJWK]:
        """The keys by `kid`; fetched when they are old, or on demand unless that just happened."""
        if refresh or not self._keys or self._is_due(refresh):
            async with self._one_fetch:  # calls during a fetch wait for its result
                if self._is_due(refresh):
                    await self._fetch()
        if not self._keys:
            raise Unavailable(
                "The keys that sign tokens cannot be fetched.",
                code="keys_unavailable",
                retry_after_s=max(1, round(self._settings.jwks_min_refresh_s)),
            )
        return self._keys

    def _is_due(self, refresh: bool) -> bool:
        now = self._monotonic()
        if self._tried_at is not None and now - self._tried_at < self._settings.jwks_min_refresh_s:
            return False
        old = self._fetched_at is None or now - self._fetched_at >= self._settings.jwks_refresh_s
        return refresh or old

    async def _fetch(self) -> None:
        self._tried_at = self._monotonic()
        try:
            keys = parse_jwks(await self._download())
        except (aiohttp.ClientError, TimeoutError, ValueError, AttributeError, TypeError, jwt.PyJWTError):
            return
        if keys:
            self._keys = keys
            self._fetched_at = self._tried_at

    async def _download(self) -> Mapping[str, Any]:
        timeout = aiohttp.ClientTimeout(total=self._settings.jwks_timeout_s)
        # A session for each call: one small page every few minutes needs no connection pool.
        async with (
            aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session,
            session.get(self._settings.jwks_url) as response,
        ):
            body = b""
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > MAX_JWKS_BYTES:
                    raise ValueError(f"the JWKS document has more than {MAX_JWKS_BYTES} bytes")
        document = json.loads(body)
        if not isinstance(document, dict):
            raise ValueError("no JWKS document")  # noqa: TRY004 - as any other answer that is not one
        return document


class TokenVerifier:
    """Checks access tokens. `is_revoked` is asked with the token's id where a service knows of logouts."""

    def __init__(
        self,
        settings: AuthSettings,
        keys: JwksSource,
        *,
        clock: Clock | None = None,
        is_revoked: Callable[[str], Awaitable[bool]] | None = None,
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._clock = clock or SystemClock()
        self._is_revoked = is_revoked

    async def verify(self, token: str | None) -> Principal:
        """The user or service that the token was issued to.

        Raises:
            Unauthenticated: with the code token_missing, token_invalid, token_expired or token_revoked.
            Unavailable: there are no keys to check it with.
        """
        claims = await self.claims(token)
        return Principal(
            claims.uid, claims.sub, frozenset(claims.roles), frozenset(claims.permissions), claims.jti
        )

    async def claims(self, token: str | None) -> TokenClaims:
        """The claims of a valid token; raises as `verify` does."""
        if not token:
            raise Unauthenticated("This needs a token: sign in at /token.", code="token_missing")
        claims = _read_claims(self._decode(token, await self._key_for(token)))
        now = self._clock.now().timestamp()
        if claims.exp + self._settings.leeway_s <= now:
            raise Unauthenticated("The token has expired: sign in again.", code="token_expired")
        if claims.iat - self._settings.leeway_s > now:
            raise _invalid(
                "it was issued later than this machine's clock now shows, which may have been set back; sign in again"
            )
        if self._is_revoked is not None and await self._is_revoked(claims.jti):
            raise Unauthenticated("The token was signed out.", code="token_revoked")
        return claims

    async def _key_for(self, token: str) -> jwt.PyJWK:
        if len(token) > MAX_TOKEN_CHARS:
            raise _invalid("it is too long")
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise _invalid("it is not a JWT") from None
        kid = header.get("kid")
        if header.get("alg") != ALGORITHM or not isinstance(kid, str):
            raise _invalid("it is not signed as ours are")
        key = (await self._keys.keys()).get(kid) or (await self._keys.keys(refresh=True)).get(kid)
        if key is None:
            raise _invalid("its key is not known")
        return key

    def _decode(self, token: str, key: jwt.PyJWK) -> dict[str, Any]:
        try:
            return jwt.decode(
                token,
                key=key,
                algorithms=[ALGORITHM],
                issuer=self._settings.issuer,
                audience=self._settings.audience,
                # The times are compared with our clock below, and not with the library's.
                options={
                    "require": ["exp", "iat", "iss", "aud", "sub", "jti"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except jwt.PyJWTError:
            raise _invalid("its signature, issuer or audience is not right") from None


def _read_claims(payload: Mapping[str, Any]) -> TokenClaims:
    try:
        if payload.get("typ") != "access":
            raise _invalid("it is not an access token")
        return TokenClaims.model_validate(payload)
    except ValidationError:
        raise _invalid("its claims are not ours") from None


def _invalid(why: str) -> Unauthenticated:
    return Unauthenticated(f"The token is not valid: {why}.", code="token_invalid")


class _Bearer(OAuth2PasswordBearer):
    """The password flow in the API page (its Authorize button), read from HTTP and WebSocket calls alike."""

    async def __call__(self, connection: HTTPConnection) -> str | None:
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else None


_BEARER = _Bearer(tokenUrl="/token", scheme_name="signIn", auto_error=False)


def require(permission: str | None = None) -> Callable[..., Awaitable[Principal]]:
    """A dependency for routes: `caller: Annotated[Principal, Depends(require("orders:read"))]`.

    It answers 401 without a valid token and 403 without the permission; None asks for a token only.
    """

    async def caller(connection: HTTPConnection, token: Annotated[str | None, Depends(_BEARER)]) -> Principal:
        verifier: TokenVerifier = connection.app.state.verifier
        principal = await verifier.verify(token)
        if permission is not None and not principal.may(permission):
            raise Forbidden(f"This needs the permission {permission}.", code="permission_missing")
        return principal

    return caller
