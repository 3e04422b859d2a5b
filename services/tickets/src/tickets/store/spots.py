"""What a decision reads and writes: the tickets and triggers of one spot, in few statements."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, RowMapping, Uuid, and_, bindparam, case, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from kit.db import BigIntId, UtcDateTime
from tickets.domain.sessions import ReviewReason, SpotHistory
from tickets.domain.spot_state import UNKNOWN_SPOT, SpotState, SpotStatus
from tickets.domain.tickets import (
    ReceivedTrigger,
    Review,
    ReviewStatus,
    SpotAddress,
    Ticket,
    TriggerDecision,
)
from tickets.store.records import (
    decision_values,
    picture_document,
    plate_document,
    received_trigger_from,
    state_values,
    ticket_from,
    ticket_values,
    trigger_values,
)
from tickets.store.tables import reviews, spots, tickets, triggers

TICKET_ROWS = select(tickets, reviews.c.review_id).outerjoin(
    reviews, reviews.c.ticket_id == tickets.c.ticket_id
)
"""Tickets with the number of their review."""


# Built once: building a statement takes as long as executing it.
_CAMERA, _SPOT = bindparam("camera", type_=BigIntId), bindparam("spot", type_=Integer)
_IS_DECIDED = (
    select(triggers.c.trigger_id).where(triggers.c.frame_id == bindparam("frame", type_=Uuid)).exists()
)
_IS_WAITING_HERE = and_(
    triggers.c.camera_id == _CAMERA, triggers.c.spot_number == _SPOT, triggers.c.is_waiting
)
_IS_SPOT = and_(spots.c.camera_id == _CAMERA, spots.c.spot_number == _SPOT)
_STATE = (
    _IS_DECIDED.label("is_decided"),
    select(spots.c.status).where(_IS_SPOT).scalar_subquery().label("spot_status"),
    select(spots.c.status_at).where(_IS_SPOT).scalar_subquery().label("spot_status_at"),
)
_NEWEST_FIRST = TICKET_ROWS.where(tickets.c.camera_id == _CAMERA, tickets.c.spot_number == _SPOT).order_by(
    tickets.c.entry_at.desc(), tickets.c.ticket_id.desc()
)
_NEWEST = (
    _NEWEST_FIRST.add_columns(
        select(func.max(triggers.c.at)).where(_IS_WAITING_HERE).scalar_subquery().label("latest_waiting"),
        *_STATE,
    )
    .limit(1)
    # While a shard moves from one replica to another, both may handle triggers of the same camera for a moment.
    .with_for_update(of=tickets)
)
_NEAR = _NEWEST_FIRST.where(
    tickets.c.exit_at.is_(None) | (tickets.c.exit_at >= bindparam("start", type_=UtcDateTime))
).limit(bindparam("limit", type_=Integer))
_WAITING = (
    select(
        *(column for column in triggers.c if column is not triggers.c.body),
        # Only where the columns that replace it are not filled.
        case((triggers.c.trigger_notes.is_(None), triggers.c.body)).label("body"),
    )
    .where(
        _IS_WAITING_HERE,
        triggers.c.at >= bindparam("start", type_=UtcDateTime),
        triggers.c.at <= bindparam("end", type_=UtcDateTime),
    )
    .order_by(triggers.c.at.desc())
    .limit(bindparam("limit", type_=Integer))
)
_UPDATE_STATE = update(spots).where(_IS_SPOT)
_INSERT_TICKET = insert(tickets).returning(tickets.c.ticket_id)
_UPDATE_TICKET = update(tickets).where(tickets.c.ticket_id == bindparam("changed_ticket"))
_INSERT_REVIEW = insert(reviews).returning(reviews.c.review_id)
_INSERT_TRIGGER = insert(triggers).inline()


@dataclass(frozen=True, slots=True)
class LoadedSpot:
    """What a decision needs to know of a spot. Both tuples are in order of time. `state`: as it was stored last."""

    tickets: tuple[Ticket, ...] = ()
    waiting: tuple[ReceivedTrigger, ...] = ()
    is_complete: bool = True
    state: SpotState = UNKNOWN_SPOT

    @property
    def history(self) -> SpotHistory:
        """The part that the session rules need."""
        return SpotHistory(
            sessions=tuple(ticket.session for ticket in self.tickets),
            waiting=tuple(received.trigger for received in self.waiting),
            is_complete=self.is_complete,
        )


async def load_spot(
    session: AsyncSession,
    received: ReceivedTrigger,
    window: timedelta,
    limit: int,
    trigger_from_body: Callable[[bytes], ReceivedTrigger],
) -> LoadedSpot | None:
    """What the decision about a trigger needs to know of its spot; None if it was decided already.

    One row and one statement if the trigger is in order and none waits for it, which is nearly always.
    Otherwise up to `limit` tickets and waiting triggers, no further than `window` from the trigger.
    `trigger_from_body` is for waiting triggers that a replica of the release before stored as message bodies.
    """
    address, at = received.address, received.trigger.at
    spot = {"camera": address.camera_id, "spot": address.spot_number}
    frame = {"frame": received.trigger.frame_id}
    newest = (await session.execute(_NEWEST, spot | frame)).mappings().first()
    state = newest if newest is not None else await _state_without_ticket(session, spot | frame)
    if state["is_decided"]:
        return None
    if newest is not None and _is_sufficient(newest, at):
        return _loaded_spot([newest], (), state, is_complete=True)
    near = {**spot, "start": at - window, "end": at + window, "limit": limit}
    rows: list[RowMapping] = []
    if newest is not None:
        rows = list((await session.execute(_NEAR, near)).mappings())
    waiting = [
        received_trigger_from(row) if row["body"] is None else trigger_from_body(row["body"])
        for row in (await session.execute(_WAITING, near)).mappings()
    ]
    is_complete = len(rows) < limit
    tickets_near = rows or ([newest] if newest is not None else [])
    return _loaded_spot(tickets_near, waiting, state, is_complete=is_complete)


async def _state_without_ticket(session: AsyncSession, parameters: dict[str, Any]) -> RowMapping:
    return (await session.execute(select(*_STATE), parameters)).mappings().one()


def _is_sufficient(newest: RowMapping, at: datetime) -> bool:
    """Whether a trigger at `at` can be decided with the newest ticket alone."""
    is_in_order = at >= (newest["exit_at"] or newest["entry_at"])
    return is_in_order and (newest["latest_waiting"] is None or newest["latest_waiting"] < at)


def _loaded_spot(
    ticket_rows: Sequence[RowMapping],
    waiting: Sequence[ReceivedTrigger],
    state: RowMapping,
    *,
    is_complete: bool,
) -> LoadedSpot:
    return LoadedSpot(
        tickets=tuple(ticket_from(row) for row in reversed(ticket_rows)),
        waiting=tuple(reversed(waiting)),
        is_complete=is_complete,
        state=SpotState(SpotStatus(state["spot_status"] or SpotStatus.UNKNOWN), state["spot_status_at"]),
    )


async def update_state(session: AsyncSession, address: SpotAddress, state: SpotState) -> None:
    """Store the state of a spot that is stored."""
    connection = await session.connection()  # the session would take it for an ORM update by primary key
    values = {"status": state.status.value, "status_at": state.at}
    key = {"camera": address.camera_id, "spot": address.spot_number}
    await connection.execute(_UPDATE_STATE.values(**values), key)


async def insert_ticket(session: AsyncSession, ticket: Ticket) -> Ticket:
    """Store a new ticket; returns it with its number.

    Raises:
        sqlalchemy.exc.IntegrityError: the ticket is open, and its spot has another open one.
    """
    number = (await session.execute(_INSERT_TICKET, ticket_values(ticket))).scalar_one()
    return replace(ticket, ticket_id=number)


async def update_ticket(session: AsyncSession, ticket: Ticket) -> None:
    """Store what a trigger changed of a ticket."""
    connection = await session.connection()  # the session would take it for an ORM update by primary key
    await connection.execute(_UPDATE_TICKET, {**state_values(ticket), "changed_ticket": ticket.ticket_id})


async def insert_review(
    session: AsyncSession,
    ticket: Ticket,
    received: ReceivedTrigger,
    reason: ReviewReason,
    requested_at: datetime,
) -> Review:
    """Request a review of a ticket's plate."""
    frame_id, guess = received.trigger.frame_id, received.trigger.plate
    values: dict[str, Any] = {
        "ticket_id": ticket.ticket_id,
        "status": ReviewStatus.PENDING.value,
        "reason": reason.value,
        "frame_id": frame_id,
        "guess": plate_document(guess),
        "picture": picture_document(received.picture),
        "requested_at": requested_at,
    }
    return Review(
        review_id=(await session.execute(_INSERT_REVIEW, values)).scalar_one(),
        ticket_id=ticket.ticket_id,
        reason=reason,
        status=ReviewStatus.PENDING,
        frame_id=frame_id,
        guess=guess,
        picture=received.picture,
        requested_at=requested_at,
    )


async def insert_trigger(
    session: AsyncSession, received: ReceivedTrigger, decision: TriggerDecision, body: bytes
) -> None:
    """Store a trigger with the decision about it. `body`, its message, is only stored with a waiting trigger.

    Raises:
        sqlalchemy.exc.IntegrityError: a trigger of this frame is stored already.
    """
    values = {**trigger_values(received, decision), "body": body if decision.is_waiting else None}
    await session.execute(_INSERT_TRIGGER, values)


async def update_trigger(session: AsyncSession, frame_id: UUID, decision: TriggerDecision) -> None:
    """Store another decision about a waiting trigger, and keep the reason of the first one."""
    values = {**decision_values(decision), "first_reason": triggers.c.reason}
    if not decision.is_waiting:
        values["body"] = None
    await session.execute(update(triggers).where(triggers.c.frame_id == frame_id).values(values))


async def newest_trigger_at(session: AsyncSession) -> datetime | None:
    """When the trigger that was stored last was received; None where there is none."""
    newest = select(triggers.c.received_at).order_by(triggers.c.trigger_id.desc()).limit(1)
    found: datetime | None = (await session.execute(newest)).scalar_one_or_none()
    return found


async def stop_waiting(session: AsyncSession, before: datetime, limit: int) -> int:
    """Let triggers from before that time wait no longer; returns how many, at most `limit`."""
    old = select(triggers.c.trigger_id).where(triggers.c.is_waiting, triggers.c.at < before).limit(limit)
    result = await session.execute(
        update(triggers)
        .where(triggers.c.trigger_id.in_(old.scalar_subquery()))
        .values(is_waiting=False, body=None)
    )
    return int(result.rowcount)  # type: ignore[attr-defined]  # an UPDATE's result is a CursorResult
