"""Issue the access token and the refresh token of a sign-in or a refresh."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.domain.accounts import User
from gateway.domain.keys import SigningKey, TokenSigner
from gateway.handlers.signing_keys import SigningKeys
from gateway.store import sessions, users
from kit.auth import TokenClaims
from kit.ids import uuid7
from kit.settings import AuthSettings


@dataclass(frozen=True, slots=True)
class TokenPair:
    """`expires_in_s` is the access token's lifetime."""

    access_token: str
    refresh_token: str
    expires_in_s: int


@dataclass(frozen=True, slots=True)
class TokenIssuer:
    """Creates tokens and stores them in the caller's transaction."""

    signing_keys: SigningKeys
    signer: TokenSigner
    auth: AuthSettings
    access_ttl_s: int
    refresh_ttl_s: int
    unstored_ttl_s: int

    async def current_key(self) -> SigningKey:
        """The key to sign with. Call it before the transaction: inside, it could wait for a second connection.

        Raises:
            Unavailable: there is none.
        """
        return await self.signing_keys.current()

    async def issue(
        self, session: AsyncSession, user: User, session_id: UUID, now: datetime, key: SigningKey
    ) -> TokenPair:
        """Two tokens; the access token contains the permissions that the user has at this moment."""
        token_id = uuid7()
        access_token = await self._sign(session, user, token_id, now, key, self.access_ttl_s)
        refresh_token = secrets.token_urlsafe(32)
        await sessions.add_tokens(
            session,
            session_id=session_id,
            token_id=token_id,
            access_expires_at=now + timedelta(seconds=self.access_ttl_s),
            refresh_hash=refresh_hash(refresh_token),
            refresh_expires_at=now + timedelta(seconds=self.refresh_ttl_s),
        )
        return TokenPair(access_token, refresh_token, self.access_ttl_s)

    async def issue_unstored(
        self, session: AsyncSession, user: User, now: datetime, key: SigningKey
    ) -> tuple[TokenPair, UUID, datetime]:
        """Tokens of which nothing is stored, with the access token's id and expiry. The refresh token is refused."""
        token_id, ttl_s = uuid7(), min(self.access_ttl_s, self.unstored_ttl_s)
        access_token = await self._sign(session, user, token_id, now, key, ttl_s)
        tokens = TokenPair(access_token, secrets.token_urlsafe(32), ttl_s)
        return tokens, token_id, now + timedelta(seconds=ttl_s)

    async def _sign(
        self, session: AsyncSession, user: User, token_id: UUID, now: datetime, key: SigningKey, ttl_s: int
    ) -> str:
        permissions = await users.permissions_of(session, user)
        issued_s = int(now.timestamp())
        claims = TokenClaims(
            sub=user.username,
            uid=user.user_id,
            roles=sorted(name for _, name in user.roles),
            permissions=sorted(permissions),
            jti=str(token_id),
            iat=issued_s,
            exp=issued_s + ttl_s,
            iss=self.auth.issuer,
            aud=self.auth.audience,
        )
        return self.signer.sign(claims.model_dump(), key)

    def session_expiry(self, now: datetime) -> datetime:
        """When everything issued at `now` has expired."""
        return now + timedelta(seconds=max(self.access_ttl_s, self.refresh_ttl_s))


def refresh_hash(refresh_token: str) -> str:
    """What is stored of a refresh token: 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(refresh_token.encode("utf-8", "replace")).hexdigest()
