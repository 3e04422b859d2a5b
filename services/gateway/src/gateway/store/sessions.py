"""Sessions, one for each sign-in, with their refresh and access tokens."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.domain.sessions import ActiveSession, RefreshState, StoredRefreshToken
from gateway.store.tables import access_tokens, refresh_tokens, sessions, users


async def start_session(
    session: AsyncSession, *, session_id: UUID, user_id: int, now: datetime, expires_at: datetime
) -> None:
    """Add a session."""
    await session.execute(
        insert(sessions).values(session_id=session_id, user_id=user_id, started_at=now, expires_at=expires_at)
    )


async def extend_session(session: AsyncSession, session_id: UUID, expires_at: datetime) -> None:
    """Keep the session until the last of its tokens expires."""
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
    """Store the two tokens that were issued together."""
    await session.execute(
        insert(access_tokens).values(token_id=token_id, session_id=session_id, expires_at=access_expires_at)
    )
    await session.execute(
        insert(refresh_tokens).values(
            token_hash=refresh_hash, session_id=session_id, expires_at=refresh_expires_at
        )
    )


async def find_refresh_token(session: AsyncSession, token_hash: str) -> StoredRefreshToken | None:
    """The refresh token, its row locked: of two requests with the same token, the second one finds it used."""
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
    return StoredRefreshToken(session_id, user_id, RefreshState(expires_at, used_at, ended_at, is_active))


async def mark_refresh_token_used(session: AsyncSession, token_hash: str, now: datetime) -> None:
    """Store that the token was exchanged."""
    await session.execute(
        update(refresh_tokens).where(refresh_tokens.c.token_hash == token_hash).values(used_at=now)
    )


async def is_access_token_valid(session: AsyncSession, token_id: UUID) -> bool:
    """Whether an access token was issued here and not revoked, and its session and its user are active."""
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


async def list_active_sessions(
    session: AsyncSession, user_id: int, now: datetime, *, limit: int
) -> list[ActiveSession]:
    """The user's sessions that have neither ended nor expired, the latest first."""
    statement = (
        select(sessions.c.session_id, sessions.c.started_at, sessions.c.expires_at)
        .where(*_is_active_of(user_id, now))
        .order_by(sessions.c.started_at.desc(), sessions.c.session_id)
        .limit(limit)
    )
    return [ActiveSession(*row) for row in (await session.execute(statement)).all()]


async def count_active_sessions(session: AsyncSession, user_id: int, now: datetime) -> int:
    """How many of them there are."""
    statement = select(func.count()).select_from(sessions).where(*_is_active_of(user_id, now))
    return (await session.scalar(statement)) or 0


def _is_active_of(user_id: int, now: datetime) -> tuple[ColumnElement[bool], ...]:
    return (sessions.c.user_id == user_id, sessions.c.ended_at.is_(None), sessions.c.expires_at > now)


async def session_of_token(session: AsyncSession, token_id: UUID) -> UUID | None:
    """The session of an access token."""
    found: UUID | None = await session.scalar(
        select(access_tokens.c.session_id).where(access_tokens.c.token_id == token_id)
    )
    return found


async def end_session(session: AsyncSession, session_id: UUID, now: datetime) -> None:
    """End the session: all its tokens are refused from now on."""
    await session.execute(
        update(sessions)
        .where(sessions.c.session_id == session_id, sessions.c.ended_at.is_(None))
        .values(ended_at=now)
    )


async def end_user_sessions(session: AsyncSession, user_id: int, now: datetime) -> None:
    """End all of a user's sessions."""
    await session.execute(
        update(sessions)
        .where(sessions.c.user_id == user_id, sessions.c.ended_at.is_(None))
        .values(ended_at=now)
    )


async def revoke_access_tokens(session: AsyncSession, user_ids: Collection[int], now: datetime) -> None:
    """Revoke the users' access tokens, which contain permissions that have changed.

    Refresh tokens stay valid: the next access token contains the new permissions.
    """
    theirs = select(sessions.c.session_id).where(sessions.c.user_id.in_(user_ids))
    await session.execute(
        update(access_tokens)
        .where(access_tokens.c.session_id.in_(theirs), access_tokens.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )


async def delete_expired(session: AsyncSession, before: datetime) -> None:
    """Delete tokens and sessions that expired before; a deleted token is not valid either."""
    await session.execute(delete(access_tokens).where(access_tokens.c.expires_at < before))
    await session.execute(delete(sessions).where(sessions.c.expires_at < before))
