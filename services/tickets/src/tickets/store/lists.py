"""The lists that the API pages through."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Select, and_, func, literal, or_, select
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from kit.days import Bound, is_day, range_condition
from kit.db import UtcDateTime
from kit.errors import FieldError, Invalid
from kit.pagination import decode_cursor, encode_cursor
from tickets.domain.lists import (
    TICKET_SORT_KEYS,
    CameraTicketCount,
    IgnoredTriggerFilter,
    Slice,
    TicketFilter,
)
from tickets.domain.local_time import zone_of
from tickets.domain.sessions import DecisionKind
from tickets.domain.tickets import IgnoredTrigger, Review, ReviewStatus, Ticket, TicketStatus
from tickets.store.records import ignored_trigger_from, review_from, ticket_from
from tickets.store.sites import location_ids
from tickets.store.spots import TICKET_ROWS
from tickets.store.tables import cameras, reviews, tickets, triggers

# The exit time of open tickets for sorting: after all others.
_NOT_YET = datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Sort:
    column: ColumnElement[Any]
    kind: type


_TICKET_SORTS: Mapping[str, _Sort] = {
    "id": _Sort(tickets.c.ticket_id, int),
    "entry_time": _Sort(tickets.c.entry_at, datetime),
    "exit_time": _Sort(func.coalesce(tickets.c.exit_at, literal(_NOT_YET, UtcDateTime)), datetime),
    "plate_number": _Sort(tickets.c.plate_number, str),
    "plate_code": _Sort(tickets.c.plate_code, str),
    "plate_city": _Sort(tickets.c.plate_city, str),
    "plate_text": _Sort(tickets.c.plate_text, str),
    "confidence": _Sort(tickets.c.confidence, float),
    "status": _Sort(tickets.c.status, str),
    "spot_number": _Sort(tickets.c.spot_number, int),
    "camera_id": _Sort(tickets.c.camera_id, int),
    "location_id": _Sort(tickets.c.location_id, int),
}


async def _ticket_conditions(session: AsyncSession, wanted: TicketFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    for column, value in (
        (tickets.c.camera_id, wanted.camera_id),
        (tickets.c.spot_number, wanted.spot_number),
        (tickets.c.plate_code, wanted.plate_code),
        (tickets.c.plate_city, wanted.plate_city),
        (tickets.c.status, wanted.status.value if wanted.status is not None else None),
        (tickets.c.location_id, wanted.location_id),
    ):
        if value is not None:
            found.append(column == value)
    if (number := wanted.plate_number) is not None:
        found.append(or_(tickets.c.plate_number == number, tickets.c.plate_text == number))
    if wanted.search is not None:
        found.append(tickets.c.plate_text.contains(wanted.search, autoescape=True))
    if wanted.location:
        found.append(tickets.c.location_id.in_(location_ids(wanted.location)))
    start, end = wanted.entry_start, wanted.entry_end
    return found + await _time_conditions(session, tickets.c.entry_at, start, end, tickets.c.time_zone)


async def _time_conditions(
    session: AsyncSession,
    column: ColumnElement[Any],
    start: Bound | None,
    end: Bound | None,
    zone_column: ColumnElement[str],
) -> list[ColumnElement[bool]]:
    zones: dict[str, ZoneInfo] = {}
    if is_day(start) or is_day(end):
        names = (await session.execute(select(cameras.c.time_zone).distinct())).scalars()
        zones = {name: zone_of(name) for name in names}
    return range_condition(column, start, end, zone_column=zone_column, zones=zones, is_end_included=True)


async def list_tickets(
    session: AsyncSession, wanted: TicketFilter, part: Slice, *, sort_by: str, is_descending: bool
) -> tuple[list[Ticket], str | None]:
    """One page of tickets, and the cursor of the next; None on the last page.

    Raises:
        Invalid: an unknown sort key, or a cursor of another list or order.
    """
    sort = _TICKET_SORTS.get(sort_by)
    if sort is None:
        problem = FieldError("sort_by", f"must be one of {', '.join(TICKET_SORT_KEYS)}")
        raise Invalid("Tickets cannot be sorted by this.", errors=(problem,))
    conditions = await _ticket_conditions(session, wanted)
    query = TICKET_ROWS.where(*conditions).add_columns(sort.column.label("sort_value"))
    order = f"{sort_by} {'desc' if is_descending else 'asc'}"
    keys = [sort.column, tickets.c.ticket_id]
    rows, more = await _page(session, query, keys, part, order, sort.kind, is_descending)
    next_cursor = encode_cursor(order, rows[-1]["sort_value"], rows[-1]["ticket_id"]) if more else None
    return [ticket_from(row) for row in rows], next_cursor


async def _page(
    session: AsyncSession,
    query: Select[Any],
    keys: Sequence[ColumnElement[Any]],
    part: Slice,
    order: str,
    kind: type,
    is_descending: bool,
) -> tuple[Sequence[RowMapping], bool]:
    """Rows in the order of `keys` (a value and an id), and whether more follow.

    `order` names the list and its order. It is part of the cursor, so that one of another list is rejected.
    """
    if part.cursor is not None:
        cursor_order, *after = decode_cursor(part.cursor, str, kind, int)
        if cursor_order != order or None in after:
            raise Invalid(
                "The cursor belongs to another list or order.",
                code="invalid_cursor",
                errors=(FieldError("cursor", "use next_cursor of a page with the same sorting"),),
            )
        query = query.where(_beyond(keys, after, is_descending))
    else:
        query = query.offset(part.offset)
    ordered = query.order_by(*((key.desc() if is_descending else key.asc()) for key in keys))
    rows = (await session.execute(ordered.limit(part.limit + 1))).mappings().all()
    return rows[: part.limit], len(rows) > part.limit


def _beyond(
    keys: Sequence[ColumnElement[Any]], after: Sequence[Any], is_descending: bool
) -> ColumnElement[bool]:
    (first, second), (value, number) = keys, after
    if is_descending:
        return or_(first < value, and_(first == value, second < number))
    return or_(first > value, and_(first == value, second > number))


async def count_tickets(session: AsyncSession, wanted: TicketFilter) -> int:
    """How many tickets match the filter."""
    conditions = await _ticket_conditions(session, wanted)
    counted = select(func.count()).select_from(tickets).where(*conditions)
    return (await session.execute(counted)).scalar_one()


async def find_ticket(session: AsyncSession, ticket_id: int) -> Ticket | None:
    """The ticket with this number."""
    row = (await session.execute(TICKET_ROWS.where(tickets.c.ticket_id == ticket_id))).mappings().first()
    return None if row is None else ticket_from(row)


async def count_by_camera(session: AsyncSession, wanted: TicketFilter) -> list[CameraTicketCount]:
    """Open and closed tickets of each camera that has any, by the camera's number."""
    is_open = tickets.c.status == TicketStatus.OPEN.value
    counts = (
        select(
            tickets.c.camera_id,
            cameras.c.name,
            func.count().filter(is_open).label("open_count"),
            func.count().filter(~is_open).label("closed_count"),
        )
        .join(cameras, cameras.c.camera_id == tickets.c.camera_id)
        .where(*await _ticket_conditions(session, wanted))
        .group_by(tickets.c.camera_id, cameras.c.name)
        .order_by(tickets.c.camera_id)
    )
    return [CameraTicketCount(*row) for row in (await session.execute(counts)).all()]


async def count_open(session: AsyncSession) -> int:
    """How many tickets are open."""
    return await count_tickets(session, TicketFilter(status=TicketStatus.OPEN))


_REVIEW_ROWS = select(reviews)


async def list_reviews(
    session: AsyncSession, status: ReviewStatus, part: Slice
) -> tuple[list[tuple[Review, Ticket]], str | None]:
    """One page of reviews with their tickets, newest first, and the cursor of the next."""
    query = _REVIEW_ROWS.where(reviews.c.status == status.value)
    keys = [reviews.c.review_id, reviews.c.review_id]
    rows, more = await _page(session, query, keys, part, f"reviews {status.value}", int, True)
    found = [review_from(row) for row in rows]
    wanted = TICKET_ROWS.where(tickets.c.ticket_id.in_([review.ticket_id for review in found]))
    by_id = {row["ticket_id"]: ticket_from(row) for row in (await session.execute(wanted)).mappings()}
    last = found[-1].review_id if more else 0
    next_cursor = encode_cursor(f"reviews {status.value}", last, last) if more else None
    return [(review, by_id[review.ticket_id]) for review in found], next_cursor


async def count_reviews(session: AsyncSession, status: ReviewStatus) -> int:
    """How many reviews have this status."""
    counted = select(func.count()).select_from(reviews).where(reviews.c.status == status.value)
    return (await session.execute(counted)).scalar_one()


async def find_review(session: AsyncSession, review_id: int) -> tuple[Review, Ticket] | None:
    """The review with this number, and its ticket."""
    row = (await session.execute(_REVIEW_ROWS.where(reviews.c.review_id == review_id))).mappings().first()
    if row is None:
        return None
    review = review_from(row)
    ticket = await find_ticket(session, review.ticket_id)
    assert ticket is not None  # a foreign key
    return review, ticket


async def _ignored_conditions(
    session: AsyncSession, wanted: IgnoredTriggerFilter
) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [triggers.c.decision == DecisionKind.IGNORED.value]
    for column, value in (
        (triggers.c.camera_id, wanted.camera_id),
        (triggers.c.spot_number, wanted.spot_number),
        (triggers.c.reason, wanted.reason),
    ):
        if value is not None:
            found.append(column == value)
    if wanted.location:
        found.append(triggers.c.location_id.in_(location_ids(wanted.location)))
    zone_column = triggers.c.time_zone
    return found + await _time_conditions(session, triggers.c.at, wanted.start, wanted.end, zone_column)


_TRIGGER_ROWS = select(*(column for column in triggers.c if column is not triggers.c.body))


async def list_ignored(
    session: AsyncSession, wanted: IgnoredTriggerFilter, part: Slice
) -> tuple[list[IgnoredTrigger], str | None]:
    """One page of ignored triggers, latest first, and the cursor of the next."""
    query = _TRIGGER_ROWS.where(*await _ignored_conditions(session, wanted))
    keys = [triggers.c.at, triggers.c.trigger_id]
    rows, more = await _page(session, query, keys, part, "ignored", datetime, True)
    next_cursor = encode_cursor("ignored", rows[-1]["at"], rows[-1]["trigger_id"]) if more else None
    return [ignored_trigger_from(row) for row in rows], next_cursor


async def count_ignored(session: AsyncSession, wanted: IgnoredTriggerFilter) -> int:
    """How many ignored triggers match the filter."""
    conditions = await _ignored_conditions(session, wanted)
    counted = select(func.count()).select_from(triggers).where(*conditions)
    return (await session.execute(counted)).scalar_one()


async def find_ignored(session: AsyncSession, trigger_id: int) -> IgnoredTrigger | None:
    """The ignored trigger with this number."""
    is_ignored = triggers.c.decision == DecisionKind.IGNORED.value
    query = _TRIGGER_ROWS.where(triggers.c.trigger_id == trigger_id, is_ignored)
    row = (await session.execute(query)).mappings().first()
    return None if row is None else ignored_trigger_from(row)
