"""What the state machine reads and writes: one spot's tickets and triggers, in few statements."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, RowMapping, and_, bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from kit.db import BigIntId, UtcDateTime
from tickets.domain.sessions import ReviewReason, SpotHistory
from tickets.domain.tickets import Report, Review, ReviewStatus, SpotAddress, Ticket
from tickets.store.records import (
    picture_document,
    plate_document,
    state_values,
    ticket_from,
    ticket_values,
    trigger_values,
)
from tickets.store.tables import reviews, tickets, triggers

TICKET_ROWS = select(tickets, reviews.c.review_id).outerjoin(
    reviews, reviews.c.ticket_id == tickets.c.ticket_id
)
"""Tickets with the number of their review."""


# The statements of every event stand ready: building one anew costs as much as running it.
_CAMERA, _SPOT = bindparam("camera", type_=BigIntId), bindparam("spot", type_=Integer)
_IS_WAITING_HERE = and_(
    triggers.c.camera_id == _CAMERA, triggers.c.spot_number == _SPOT, triggers.c.is_waiting
)
_NEWEST_FIRST = TICKET_ROWS.where(tickets.c.camera_id == _CAMERA, tickets.c.spot_number == _SPOT).order_by(
    tickets.c.entry_at.desc(), tickets.c.ticket_id.desc()
)
_NEWEST = (
    _NEWEST_FIRST.add_columns(
        select(func.max(triggers.c.at)).where(_IS_WAITING_HERE).scalar_subquery().label("latest_waiting")
    )
    .limit(1)
    # For the moment in which two replicas believe that the camera is theirs.
    .with_for_update(of=tickets)
)
_NEAR = _NEWEST_FIRST.where(
    tickets.c.exit_at.is_(None) | (tickets.c.exit_at >= bindparam("start", type_=UtcDateTime))
).limit(bindparam("limit", type_=Integer))
_WAITING = (
    select(triggers.c.frame_id, triggers.c.at, triggers.c.body)
    .where(
        _IS_WAITING_HERE,
        triggers.c.at >= bindparam("start", type_=UtcDateTime),
        triggers.c.at <= bindparam("end", type_=UtcDateTime),
    )
    .order_by(triggers.c.at.desc())
    .limit(bindparam("limit", type_=Integer))
)
_INSERT_TICKET = insert(tickets).returning(tickets.c.ticket_id)
_UPDATE_TICKET = update(tickets).where(tickets.c.ticket_id == bindparam("changed_ticket"))
_INSERT_REVIEW = insert(reviews).returning(reviews.c.review_id)
_INSERT_TRIGGER = insert(triggers).inline()


@dataclass(frozen=True, slots=True)
class WaitingRow:
    """A trigger that waits: the message that it came in, and the time that was found to count for it."""

    frame_id: UUID
    at: datetime
    body: bytes


@dataclass(frozen=True, slots=True)
class SpotRows:
    """What was loaded of a spot. `tickets` is in order of entry."""

    tickets: tuple[Ticket, ...] = ()
    waiting: tuple[WaitingRow, ...] = ()
    is_complete: bool = True
    by_key: dict[UUID, Ticket] = field(default_factory=dict)

    def history(self, reports: dict[UUID, Report]) -> SpotHistory:
        """As the rules want it; `reports` are the waiting rows' by frame."""
        return SpotHistory(
            sessions=tuple(ticket.session for ticket in self.tickets),
            waiting=tuple(reports[row.frame_id].trigger for row in self.waiting),
            is_complete=self.is_complete,
        )


async def load_spot(
    session: AsyncSession, address: SpotAddress, at: datetime, window: timedelta, limit: int
) -> SpotRows:
    """What a trigger at `at` needs to know of its spot.

    One row and one statement where it comes in order and nothing waits for it, which is nearly always.
    Otherwise up to `limit` tickets and waiting triggers, no further than `window` from `at`.
    """
    here = {"camera": address.camera_id, "spot": address.spot_number}
    newest = (await session.execute(_NEWEST, here)).mappings().first()
    if newest is not None and _is_enough(newest, at):
        return _spot_rows([newest], [], is_complete=True)
    near = {**here, "start": at - window, "end": at + window, "limit": limit}
    rows = []
    if newest is not None:
        rows = list((await session.execute(_NEAR, near)).mappings())
    waiting = list((await session.execute(_WAITING, near)).mappings())
    return _spot_rows(
        rows or ([newest] if newest is not None else []), waiting, is_complete=len(rows) < limit
    )


def _is_enough(newest: RowMapping, at: datetime) -> bool:
    """Whether the newest ticket alone says what a trigger at `at` means."""
    is_in_order = at >= (newest["exit_at"] or newest["entry_at"])
    return is_in_order and (newest["latest_waiting"] is None or newest["latest_waiting"] < at)


def _spot_rows(
    ticket_rows: list[RowMapping], waiting_rows: list[RowMapping], *, is_complete: bool
) -> SpotRows:
    loaded = tuple(ticket_from(row) for row in reversed(ticket_rows))
    waiting = tuple(WaitingRow(row["frame_id"], row["at"], row["body"]) for row in reversed(waiting_rows))
    return SpotRows(loaded, waiting, is_complete, {ticket.entry_frame_id: ticket for ticket in loaded})


async def insert_ticket(session: AsyncSession, ticket: Ticket) -> Ticket:
    """Store a new ticket; returns it with its number.

    Raises:
        sqlalchemy.exc.IntegrityError: it is open and so is another one of its spot.
    """
    number = (await session.execute(_INSERT_TICKET, ticket_values(ticket))).scalar_one()
    return replace(ticket, ticket_id=number)


async def update_ticket(session: AsyncSession, ticket: Ticket) -> None:
    """Store what a trigger changed of a ticket."""
    connection = await session.connection()  # the session itself would take it for an update by primary key
    await connection.execute(_UPDATE_TICKET, {**state_values(ticket), "changed_ticket": ticket.ticket_id})


async def insert_review(
    session: AsyncSession, ticket: Ticket, report: Report, reason: ReviewReason, requested_at: datetime
) -> Review:
    """Ask a person about a ticket's plate."""
    values: dict[str, Any] = {
        "ticket_id": ticket.ticket_id,
        "status": ReviewStatus.PENDING.value,
        "reason": reason.value,
        "frame_id": report.trigger.frame_id,
        "guess": plate_document(report.trigger.plate),
        "picture": picture_document(report.picture),
        "requested_at": requested_at,
    }
    return Review(
        review_id=(await session.execute(_INSERT_REVIEW, values)).scalar_one(),
        ticket_id=ticket.ticket_id,
        reason=reason,
        status=ReviewStatus.PENDING,
        frame_id=report.trigger.frame_id,
        guess=report.trigger.plate,
        picture=report.picture,
        requested_at=requested_at,
    )


@dataclass(frozen=True, slots=True)
class TriggerOutcome:
    """What a trigger came to. `kind` is OPENED, REOPENED, CLOSED or IGNORED."""

    kind: str
    reason: str
    ticket_id: int | None
    is_waiting: bool
    notes: tuple[str, ...]
    decided_at: datetime


async def insert_trigger(session: AsyncSession, report: Report, outcome: TriggerOutcome) -> None:
    """Keep a trigger with what it came to."""
    values = {
        **trigger_values(report),
        **_outcome_values(outcome),
        "body": report.body if outcome.is_waiting else None,
    }
    await session.execute(_INSERT_TRIGGER, values)


async def settle_trigger(session: AsyncSession, frame_id: UUID, outcome: TriggerOutcome) -> None:
    """A trigger that waited has come to something; what was first said of it is kept beside."""
    await session.execute(
        update(triggers)
        .where(triggers.c.frame_id == frame_id)
        .values(**_outcome_values(outcome), first_reason=triggers.c.reason, body=None)
    )


def _outcome_values(outcome: TriggerOutcome) -> dict[str, Any]:
    return {
        "decision": outcome.kind,
        "reason": outcome.reason,
        "ticket_id": outcome.ticket_id,
        "is_waiting": outcome.is_waiting,
        "notes": list(outcome.notes),
        "decided_at": outcome.decided_at,
    }


async def is_decided(session: AsyncSession, frame_id: UUID) -> bool:
    """Whether a trigger of that frame is known."""
    found = select(triggers.c.trigger_id).where(triggers.c.frame_id == frame_id)
    return (await session.execute(found)).first() is not None


async def stop_waiting(session: AsyncSession, before: datetime, limit: int) -> int:
    """Let triggers from before that time wait no longer; returns how many, at most `limit`."""
    old = select(triggers.c.trigger_id).where(triggers.c.is_waiting, triggers.c.at < before).limit(limit)
    result = await session.execute(
        update(triggers)
        .where(triggers.c.trigger_id.in_(old.scalar_subquery()))
        .values(is_waiting=False, body=None)
    )
    return int(result.rowcount)  # type: ignore[attr-defined]  # an UPDATE's result is a CursorResult
