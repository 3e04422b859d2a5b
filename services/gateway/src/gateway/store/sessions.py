"""Sign-ins: each a session with the refresh and access tokens that came of it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.domain.sessions import RefreshState
from gateway.store.tables import access_tokens, refresh_tokens, sessions, users


@dataclass(frozen=True, slots=True)
class KnownRefresh:
    """A refresh token that was issued here, and what it is worth."""

    session_id: UUID
    user_id: int
    state: RefreshState


async def start_session(
    session: AsyncSession, *, session_id: UUID, user_id: int, now: datetime, expires_at: datetime
) -> None:
    """A new sign-in."""
    await session.execute(
        insert(sessions).values(session_id=session_id, user_id=user_id, started_at=now, expires_at=expires_at)
    )


async def prolong_session(session: AsyncSession, session_id: UUID, expires_at: datetime) -> None:
    """Keep the session for as long as what was issued in it."""
    await session.execute(
        update(sessions).where(sessions.c.session_id == session_id).values(expires_at=expires_at)
    )


async def add_tokens(
    session: AsyncSession,
    *,
    session_id: UUID,
    token_id: UUID,
    access_expires_at: datetime,
    refresh_hash: str,
    refresh_expires_at: datetime,
) -> None:
    """Note the two tokens that were issued together."""
    await session.execute(
        insert(access_tokens).values(token_id=token_id, session_id=session_id, expires_at=access_expires_at)
    )
    await session.execute(
        insert(refresh_tokens).values(
            token_hash=refresh_hash, session_id=session_id, expires_at=refresh_expires_at
        )
    )


async def find_refresh(session: AsyncSession, token_hash: str) -> KnownRefresh | None:
    """The refresh token, locked: of two that come with it at once, the second one finds it used."""
    statement = (
        select(
            sessions.c.session_id,
            sessions.c.user_id,
            refresh_tokens.c.expires_at,
            refresh_tokens.c.used_at,
            sessions.c.ended_at,
            users.c.is_active,
        )
        .join(sessions, sessions.c.session_id == refresh_tokens.c.session_id)
        .join(users, users.c.user_id == sessions.c.user_id)
        .where(refresh_tokens.c.token_hash == token_hash)
        .with_for_update(of=refresh_tokens)
    )
    row = (await session.execute(statement)).first()
    if row is None:
        return None
    session_id, user_id, expires_at, used_at, ended_at, is_active = row
    return KnownRefresh(session_id, user_id, RefreshState(expires_at, used_at, ended_at, is_active))


async def use_refresh(session: AsyncSession, token_hash: str, now: datetime) -> None:
    """Note that the token was exchanged."""
    await session.execute(
        update(refresh_tokens).where(refresh_tokens.c.token_hash == token_hash).values(used_at=now)
    )


async def is_token_live(session: AsyncSession, token_id: UUID) -> bool:
    """Whether an access token is one of ours, not revoked, of a session that goes on and an active user."""
    statement = (
        select(access_tokens.c.token_id)
        .join(sessions, sessions.c.session_id == access_tokens.c.session_id)
        .join(users, users.c.user_id == sessions.c.user_id)
        .where(
            access_tokens.c.token_id == token_id,
            access_tokens.c.revoked_at.is_(None),
            sessions.c.ended_at.is_(None),
            users.c.is_active,
        )
    )
    return (await session.scalar(statement)) is not None


async def session_of_token(session: AsyncSession, token_id: UUID) -> UUID | None:
    """The session that an access token was issued in."""
    found: UUID | None = await session.scalar(
        select(access_tokens.c.session_id).where(access_tokens.c.token_id == token_id)
    )
    return found


async def end_session(session: AsyncSession, session_id: UUID, now: datetime) -> None:
    """End it: none of its tokens is worth anything from now on."""
    await session.execute(
        update(sessions)
        .where(sessions.c.session_id == session_id, sessions.c.ended_at.is_(None))
        .values(ended_at=now)
    )


async def end_sessions_of(session: AsyncSession, user_id: int, now: datetime) -> None:
    """End all of a user's sessions."""
    await session.execute(
        update(sessions)
        .where(sessions.c.user_id == user_id, sessions.c.ended_at.is_(None))
        .values(ended_at=now)
    )


async def revoke_access_of(session: AsyncSession, user_ids: Collection[int], now: datetime) -> None:
    """Revoke the users' access tokens: they say what the users may do, and that has changed.

    Refresh tokens stay; the next access token says what is true then.
    """
    theirs = select(sessions.c.session_id).where(sessions.c.user_id.in_(user_ids))
    await session.execute(
        update(access_tokens)
        .where(access_tokens.c.session_id.in_(theirs), access_tokens.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )


async def sweep(session: AsyncSession, before: datetime) -> None:
    """Forget what expired before: a token that is not known is not valid either."""
    await session.execute(delete(access_tokens).where(access_tokens.c.expires_at < before))
    await session.execute(delete(sessions).where(sessions.c.expires_at < before))
