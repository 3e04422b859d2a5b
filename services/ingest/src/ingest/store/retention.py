"""The record of how far time is known to have passed, and what retention counts and deletes."""

from datetime import UTC, datetime

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from ingest.domain.camera_event import EventState
from ingest.domain.retention import RetentionClock
from ingest.store.tables import camera_events as events
from ingest.store.tables import retention_clock


async def database_time(session: AsyncSession) -> datetime | None:
    """The time of the database server; None for SQLite, whose clock is this machine's."""
    if session.get_bind().dialect.name != "postgresql":
        return None
    at: datetime = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    return at.astimezone(UTC)


async def read_clock(session: AsyncSession) -> RetentionClock | None:
    """The stored record; None before the first run."""
    row = (await session.execute(select(retention_clock))).one_or_none()
    return None if row is None else RetentionClock(row.trusted_until, row.checked_at, row.waited_s)


async def write_clock(session: AsyncSession, clock: RetentionClock) -> None:
    """Store the record in place of the one before."""
    await session.execute(delete(retention_clock))
    await session.execute(
        insert(retention_clock).values(
            retention_clock_id=1,
            trusted_until=clock.trusted_until,
            checked_at=clock.checked_at,
            waited_s=clock.waited_s,
        )
    )


async def newest_event_at(session: AsyncSession) -> datetime | None:
    """When the newest event was received."""
    newest: datetime | None = (await session.execute(select(func.max(events.c.received_at)))).scalar_one()
    return newest


async def count_events(session: AsyncSession, before: datetime | None = None) -> int:
    """The number of events; with `before`, of those that `delete_before` deletes."""
    query = select(func.count()).select_from(events)
    if before is not None:
        query = query.where(events.c.received_at < before, events.c.state == EventState.DISPATCHED.value)
    return (await session.execute(query)).scalar_one()
