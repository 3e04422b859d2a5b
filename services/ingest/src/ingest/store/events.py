"""Camera events: stored once, dispatched in order per camera, and their outcome.

The order per camera rests on two facts. A push is answered after its transaction has committed, so the camera's next
push sees the event. And an event is dispatched at once only if no event of its camera is pending; pending events are
dispatched by `event_no`, one at a time per camera.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import (
    Boolean,
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
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from ingest.domain.camera_event import AcceptedEvent, EventState, NewCameraEvent, PendingEvent
from ingest.domain.frame import CapturedFrame
from ingest.domain.outcomes import Decision, Outcome, OutcomeDocument
from ingest.domain.parking_push import Purpose
from ingest.domain.site import TEXT_CHARS
from ingest.store.tables import camera_events as events

PENDING = EventState.PENDING.value
DISPATCHED = EventState.DISPATCHED.value

_earlier = events.alias("earlier")


def _accepting(dialect: Any) -> Insert:
    """In one statement: insert, unless the fingerprint is known; pending if an event of the camera is pending."""
    is_behind = exists(
        select(literal(1)).where(_earlier.c.camera_id == bindparam("camera_id"), _earlier.c.state == PENDING)
    )
    is_pending = or_(bindparam("must_wait", type_=Boolean), is_behind)
    values: dict[str, Any] = {
        column.name: bindparam(column.name, type_=column.type)
        for column in events.columns
        if column.name
        not in {"event_no", "state", "lease_id", "lease_until", "decided_at", "outcome_document"}
    }
    values["state"] = case((is_pending, PENDING), else_=DISPATCHED)
    # Only a pending event still needs them: they are as large as the rest of the row.
    for name in ("frame", "traceparent"):
        values[name] = case((is_pending, values[name]), else_=null())
    values["dispatched_at"] = case((is_pending, null()), else_=values["dispatched_at"])
    statement = dialect.insert(events).values(values)
    accepting: Insert = statement.on_conflict_do_nothing(index_elements=[events.c.fingerprint]).returning(
        events.c.event_id, events.c.state
    )
    return accepting


_ACCEPT = {"postgresql": _accepting(postgresql), "sqlite": _accepting(sqlite)}


async def accept(session: AsyncSession, new: Sequence[NewCameraEvent]) -> dict[UUID, EventState]:
    """Insert the events; those that were stored before are absent from the answer.

    No two of them may be of one camera: a pending one among them would not be seen by the other.
    """
    # In a fixed order, so that two replicas that insert the same events do not wait for one another.
    rows = [_row(event) for event in sorted(new, key=lambda event: event.fingerprint)]
    inserted = await session.execute(_ACCEPT[session.get_bind().dialect.name], rows)
    return {row.event_id: EventState(row.state) for row in inserted}


def _row(event: NewCameraEvent) -> dict[str, Any]:
    frame, push = event.frame, event.push
    picture = asdict(frame.picture)
    return {
        "event_id": frame.frame_id,
        "fingerprint": event.fingerprint,
        "camera_id": frame.camera.camera_id,
        "location_id": frame.camera.location_id,
        "parking_area": f"{push.area.location_code}{push.area.api_code}",
        "spot_number": push.index_number,
        "purpose": push.purpose.value,
        "device": push.device[:TEXT_CHARS],
        "reported_time": push.time.key,
        "captured_at": frame.clock.captured_at,
        "received_at": frame.received_at,
        "clock_state": frame.clock.state.value,
        "clock_skew_s": frame.clock.skew_s,
        "raw_report": event.raw_push,
        "pushed_picture": picture,
        # An event behind an exit is dispatched with its pushed picture as well.
        "picture": None if event.must_wait else picture,
        "picture_source": frame.picture_source.value,
        "picture_note": frame.picture_note,
        "frame": event.encoded_frame,
        "traceparent": event.traceparent,
        "dispatched_at": frame.received_at,
        "outcome": Outcome.ACCEPTED.value,
        "must_wait": event.must_wait,
    }


async def by_fingerprint(session: AsyncSession, fingerprint: bytes) -> AcceptedEvent | None:
    """The event of that fingerprint."""
    query = select(
        events.c.event_id,
        events.c.camera_id,
        events.c.spot_number,
        events.c.purpose,
        events.c.captured_at,
        events.c.received_at,
        events.c.clock_state,
    ).where(events.c.fingerprint == fingerprint)
    row = (await session.execute(query)).one_or_none()
    if row is None:
        return None
    return AcceptedEvent(
        event_id=row.event_id,
        purpose=Purpose(row.purpose),
        camera_id=row.camera_id,
        spot_number=row.spot_number,
        captured_at=row.captured_at,
        received_at=row.received_at,
        clock_state=row.clock_state,
    )


def _is_unleased(now: datetime) -> Any:
    return and_(events.c.state == PENDING, or_(events.c.lease_until.is_(None), events.c.lease_until <= now))


async def claim(
    session: AsyncSession, *, lease_id: UUID, now: datetime, lease_until: datetime, limit: int
) -> list[PendingEvent]:
    """Lease the oldest pending event of each of up to `limit` cameras, unless another replica has leased it."""
    is_oldest = ~exists(
        select(literal(1)).where(
            _earlier.c.camera_id == events.c.camera_id,
            _earlier.c.state == PENDING,
            _earlier.c.event_no < events.c.event_no,
        )
    )
    oldest = (
        select(events.c.event_no)
        .where(_is_unleased(now), is_oldest)
        .order_by(events.c.event_no)
        .limit(limit)
        .with_for_update(skip_locked=True, of=events)
    )
    numbers = (await session.execute(oldest)).scalars().all()
    if not numbers:
        return []
    taken = (
        update(events)
        .where(events.c.event_no.in_(numbers), _is_unleased(now))
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


async def mark_dispatched(
    session: AsyncSession, event: PendingEvent, frame: CapturedFrame, *, now: datetime
) -> bool:
    """Mark it as dispatched with that frame; False if the lease has expired, and then nothing may be sent."""
    result = await session.execute(
        update(events)
        .where(
            events.c.event_no == event.event_no,
            events.c.state == PENDING,
            events.c.lease_id == event.lease_id,
        )
        .values(
            state=DISPATCHED,
            dispatched_at=now,
            lease_id=None,
            lease_until=None,
            frame=None,
            traceparent=None,
            picture=asdict(frame.picture),
            picture_source=frame.picture_source.value,
            picture_note=frame.picture_note,
        )
    )
    return _count(result) == 1


async def release(session: AsyncSession, event: PendingEvent | None) -> None:
    """Return the lease of that event if it is still held; None returns all leases."""
    statement = update(events).where(events.c.state == PENDING, events.c.lease_id.is_not(None))
    if event is not None:
        statement = statement.where(events.c.event_no == event.event_no, events.c.lease_id == event.lease_id)
    await session.execute(statement.values(lease_id=None, lease_until=None))


async def count_pending(session: AsyncSession, camera_id: int | None = None) -> int:
    """The number of pending events, of one camera or of all."""
    query = select(func.count()).where(events.c.state == PENDING)
    if camera_id is not None:
        query = query.where(events.c.camera_id == camera_id)
    return (await session.execute(query)).scalar_one()


async def record_outcome(session: AsyncSession, decision: Decision, document: OutcomeDocument) -> bool:
    """Store the outcome of its event. The later of two decisions stays, whichever arrives first.

    False if there is no such event, or a later decision is stored.
    """
    result = await session.execute(
        update(events)
        .where(
            events.c.event_id == decision.event_id,
            or_(events.c.decided_at.is_(None), events.c.decided_at <= decision.decided_at),
        )
        .values(outcome=decision.outcome.value, outcome_document=document, decided_at=decision.decided_at)
    )
    return _count(result) == 1


async def outcomes(session: AsyncSession, event_ids: Sequence[UUID]) -> Mapping[UUID, OutcomeDocument]:
    """The outcomes of those events that are decided."""
    query = select(events.c.event_id, events.c.outcome_document).where(
        events.c.event_id.in_(event_ids), events.c.decided_at.is_not(None)
    )
    return {row.event_id: row.outcome_document for row in (await session.execute(query)).all()}


async def existing_ids(session: AsyncSession, event_ids: Sequence[UUID]) -> set[UUID]:
    """Those of the ids that are ids of events."""
    query = select(events.c.event_id).where(events.c.event_id.in_(event_ids))
    return set((await session.execute(query)).scalars())


async def delete_raw_pushes(session: AsyncSession, *, since: datetime, before: datetime, limit: int) -> int:
    """Delete the JSON of pushes received from `since` to `before`; the number deleted, at most `limit`."""
    old = (
        select(events.c.event_no)
        .where(events.c.received_at >= since, events.c.received_at < before, events.c.raw_report.is_not(None))
        .limit(limit)
    )
    statement = update(events).where(events.c.event_no.in_(old.scalar_subquery())).values(raw_report=None)
    return _count(await session.execute(statement))


async def delete_before(session: AsyncSession, *, before: datetime, limit: int) -> tuple[int, list[str]]:
    """Delete events received before, except pending ones; how many, and the blob keys of their pictures."""
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
    return len(rows), sorted({blob["key"] for row in rows for blob in row if blob is not None})


def _count(result: Any) -> int:
    return cast("CursorResult[Any]", result).rowcount
