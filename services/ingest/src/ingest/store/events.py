"""What cameras reported: accepted once, handed out in order per camera, and what became of it.

Order per camera rests on two facts. An event is answered after its transaction has committed, so whatever
the camera sends next sees it. And an event goes out at once only when nothing of its camera waits; what waits
is handed out by `event_no`, one at a time per camera.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import (
    CursorResult,
    Insert,
    Row,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from ingest.domain.parking_push import Purpose
from ingest.store.tables import camera_events as events

PENDING = "PENDING"
DISPATCHED = "DISPATCHED"

_earlier = events.alias("earlier")


@dataclass(frozen=True, slots=True)
class AcceptedRow:
    """What the first answer to an event said."""

    event_id: UUID
    camera_id: int
    spot_number: int
    purpose: Purpose
    captured_at: datetime
    received_at: datetime
    clock_state: str
    is_dispatched: bool


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """An event that this replica holds the lease on, to send it out."""

    event_no: int
    event_id: UUID
    camera_id: int
    purpose: Purpose
    frame: bytes
    traceparent: str | None
    lease_id: UUID


def _accepting(dialect: Any) -> Insert:
    """One statement: is anything of this camera waiting, and has this event been here before."""
    waiting = exists(
        select(literal(1)).where(_earlier.c.camera_id == bindparam("camera_id"), _earlier.c.state == PENDING)
    )
    columns = {
        column.name: bindparam(column.name, type_=column.type)
        for column in events.columns
        if column.name
        not in {"event_no", "state", "lease_id", "lease_until", "decided_at", "outcome_document"}
    }
    state = case((or_(bindparam("must_wait") == true(), waiting), PENDING), else_=DISPATCHED)
    statement = dialect.insert(events).values(columns | {"state": state})
    accepting: Insert = statement.on_conflict_do_nothing(index_elements=[events.c.fingerprint]).returning(
        events.c.state
    )
    return accepting


_ACCEPT = {"postgresql": _accepting(postgresql), "sqlite": _accepting(sqlite)}


async def accept(session: AsyncSession, values: dict[str, Any], *, must_wait: bool) -> bool | None:
    """Write the event: True when it may go out at once, False when it waits, None when it was here before."""
    statement = _ACCEPT[session.get_bind().dialect.name]
    state = (await session.execute(statement, {**values, "must_wait": must_wait})).scalar_one_or_none()
    return None if state is None else state == DISPATCHED


_ANSWER = (
    events.c.event_id,
    events.c.camera_id,
    events.c.spot_number,
    events.c.purpose,
    events.c.captured_at,
    events.c.received_at,
    events.c.clock_state,
    events.c.state,
)


async def by_fingerprint(session: AsyncSession, fingerprint: bytes) -> AcceptedRow | None:
    """The event of that fingerprint."""
    row = (await session.execute(select(*_ANSWER).where(events.c.fingerprint == fingerprint))).one_or_none()
    if row is None:
        return None
    return AcceptedRow(
        event_id=row.event_id,
        camera_id=row.camera_id,
        spot_number=row.spot_number,
        purpose=Purpose(row.purpose),
        captured_at=row.captured_at,
        received_at=row.received_at,
        clock_state=row.clock_state,
        is_dispatched=row.state == DISPATCHED,
    )


def _free(now: datetime) -> Any:
    return and_(events.c.state == PENDING, or_(events.c.lease_until.is_(None), events.c.lease_until <= now))


async def claim(
    session: AsyncSession, *, lease_id: UUID, now: datetime, lease_until: datetime, limit: int
) -> list[PendingEvent]:
    """Take the oldest waiting event of each of up to `limit` cameras, unless another replica holds it."""
    is_oldest = ~exists(
        select(literal(1)).where(
            _earlier.c.camera_id == events.c.camera_id,
            _earlier.c.state == PENDING,
            _earlier.c.event_no < events.c.event_no,
        )
    )
    oldest = (
        select(events.c.event_no)
        .where(_free(now), is_oldest)
        .order_by(events.c.event_no)
        .limit(limit)
        .with_for_update(skip_locked=True, of=events)
    )
    numbers = (await session.execute(oldest)).scalars().all()
    if not numbers:
        return []
    taken = (
        update(events)
        .where(events.c.event_no.in_(numbers), _free(now))
        .values(lease_id=lease_id, lease_until=lease_until)
        .returning(
            events.c.event_no,
            events.c.event_id,
            events.c.camera_id,
            events.c.purpose,
            events.c.frame,
            events.c.traceparent,
            events.c.lease_id,
        )
    )
    rows = (await session.execute(taken)).all()
    return sorted((_pending(row) for row in rows), key=lambda event: event.event_no)


def _pending(row: Row[Any]) -> PendingEvent:
    return PendingEvent(
        row.event_no,
        row.event_id,
        row.camera_id,
        Purpose(row.purpose),
        row.frame,
        row.traceparent,
        row.lease_id,
    )


async def dispatched(
    session: AsyncSession, event: PendingEvent, *, now: datetime, values: dict[str, Any]
) -> bool:
    """Mark it as gone out; False when the lease was lost, and then nothing may be sent."""
    result = await session.execute(
        update(events)
        .where(
            events.c.event_no == event.event_no,
            events.c.state == PENDING,
            events.c.lease_id == event.lease_id,
        )
        .values(state=DISPATCHED, dispatched_at=now, lease_id=None, lease_until=None, **values)
    )
    return _count(result) == 1


async def release(session: AsyncSession, event: PendingEvent | None) -> None:
    """Give the lease of that event back while it is still that one; None gives back everybody's."""
    statement = update(events).where(events.c.state == PENDING, events.c.lease_id.is_not(None))
    if event is not None:
        statement = statement.where(events.c.event_no == event.event_no, events.c.lease_id == event.lease_id)
    await session.execute(statement.values(lease_id=None, lease_until=None))


async def count_pending(session: AsyncSession, camera_id: int | None = None) -> int:
    """How many events wait, of one camera or of all."""
    query = select(func.count()).where(events.c.state == PENDING)
    if camera_id is not None:
        query = query.where(events.c.camera_id == camera_id)
    return (await session.execute(query)).scalar_one()


async def purpose_of(session: AsyncSession, event_id: UUID) -> Purpose | None:
    """Entry or exit; None when there is no such event."""
    purpose = await session.scalar(select(events.c.purpose).where(events.c.event_id == event_id))
    return None if purpose is None else Purpose(purpose)


async def record_outcome(
    session: AsyncSession, event_id: UUID, *, outcome: str, document: dict[str, Any], decided_at: datetime
) -> None:
    """Write down what the event came to. A later decision counts, whichever of the two arrives first."""
    await session.execute(
        update(events)
        .where(
            events.c.event_id == event_id,
            or_(events.c.decided_at.is_(None), events.c.decided_at <= decided_at),
        )
        .values(outcome=outcome, outcome_document=document, decided_at=decided_at)
    )


async def outcomes(session: AsyncSession, event_ids: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
    """The outcome documents of those that are decided."""
    query = select(events.c.event_id, events.c.outcome_document).where(
        events.c.event_id.in_(event_ids), events.c.decided_at.is_not(None)
    )
    return {row.event_id: row.outcome_document for row in (await session.execute(query)).all()}


async def existing(session: AsyncSession, event_ids: Sequence[UUID]) -> set[UUID]:
    """Which of those ids are events."""
    query = select(events.c.event_id).where(events.c.event_id.in_(event_ids))
    return set((await session.execute(query)).scalars())


async def forget_reports(session: AsyncSession, *, since: datetime, before: datetime, limit: int) -> int:
    """Empty the reports received from `since` to `before`; returns how many, at most `limit`."""
    old = (
        select(events.c.event_no)
        .where(events.c.received_at >= since, events.c.received_at < before, events.c.raw_report.is_not(None))
        .limit(limit)
    )
    statement = update(events).where(events.c.event_no.in_(old.scalar_subquery())).values(raw_report=None)
    return _count(await session.execute(statement))


async def delete_before(session: AsyncSession, *, before: datetime, limit: int) -> list[str]:
    """Delete events received before, but none that still waits; returns the keys of their pictures."""
    old = (
        select(events.c.event_no)
        .where(events.c.received_at < before, events.c.state == DISPATCHED)
        .order_by(events.c.received_at)
        .limit(limit)
    )
    statement = (
        delete(events)
        .where(events.c.event_no.in_(old.scalar_subquery()))
        .returning(events.c.pushed_picture, events.c.picture)
    )
    rows = (await session.execute(statement)).all()
    return sorted({blob["key"] for row in rows for blob in row if blob is not None})


def _count(result: Any) -> int:
    return cast("CursorResult[Any]", result).rowcount
