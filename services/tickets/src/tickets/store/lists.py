"""The lists that people page through."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, literal, or_, select
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from kit.db import UtcDateTime
from kit.errors import FieldError, Invalid
from kit.pagination import decode_cursor, encode_cursor
from tickets.domain.tickets import Review, ReviewStatus, Ticket, TicketStatus
from tickets.store.records import review_from, ticket_from
from tickets.store.sites import locations_called
from tickets.store.spots import TICKET_ROWS
from tickets.store.tables import cameras, reviews, tickets, triggers

# Where an open ticket stands among exit times: it will leave after all that have left.
_NOT_YET = datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Slice:
    """Which rows of a list: after the cursor where there is one, else from `offset` on."""

    limit: int
    offset: int = 0
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class _Sort:
    column: ColumnElement[Any]
    kind: type


SORTS: Mapping[str, _Sort] = {
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
"""What tickets can be sorted by; open ones have the latest exit time."""


@dataclass(frozen=True, slots=True)
class TicketFilter:
    """None: no condition. `search` is a part of the plate; times are bounds of the entry, both included."""

    search: str | None = None
    camera_id: int | None = None
    spot_number: int | None = None
    plate_number: str | None = None
    plate_code: str | None = None
    plate_city: str | None = None
    entry_start: datetime | None = None
    entry_end: datetime | None = None
    status: TicketStatus | None = None
    # Number or code.
    location: str | None = None
    location_id: int | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """As SQL."""
        found: list[ColumnElement[bool]] = []
        for column, value in (
            (tickets.c.camera_id, self.camera_id),
            (tickets.c.spot_number, self.spot_number),
            (tickets.c.plate_code, _plate_word(self.plate_code)),
            (tickets.c.plate_city, _plate_word(self.plate_city)),
            (tickets.c.status, self.status.value if self.status is not None else None),
            (tickets.c.location_id, self.location_id),
        ):
            if value is not None:
                found.append(column == value)
        if (number := _plate_word(self.plate_number)) is not None:
            found.append(or_(tickets.c.plate_number == number, tickets.c.plate_text == number))
        if (part := _plate_word(self.search)) is not None:
            found.append(tickets.c.plate_text.contains(part, autoescape=True))
        if self.location:
            found.append(tickets.c.location_id.in_(locations_called(self.location)))
        if self.entry_start is not None:
            found.append(tickets.c.entry_at >= self.entry_start)
        if self.entry_end is not None:
            found.append(tickets.c.entry_at <= self.entry_end)
        return found


def _plate_word(text: str | None) -> str | None:
    """As plates are stored: upper case, no separators. None when nothing is left to look for."""
    if text is None:
        return None
    return "".join(c for c in text.upper() if not c.isspace() and c != "-") or None


async def list_tickets(
    session: AsyncSession, wanted: TicketFilter, part: Slice, *, sort_by: str, is_descending: bool
) -> tuple[list[Ticket], str | None]:
    """One page of tickets, and the cursor of the next; None on the last.

    Raises:
        Invalid: nothing sorts by that, or the cursor is not one of this list and sorting.
    """
    sort = SORTS.get(sort_by)
    if sort is None:
        names = ", ".join(SORTS)
        raise Invalid("Tickets do not sort by that.", errors=(FieldError("sort_by", f"one of {names}"),))
    query = TICKET_ROWS.where(*wanted.conditions()).add_columns(sort.column.label("sort_value"))
    mark = f"{sort_by} {'desc' if is_descending else 'asc'}"
    keys = [sort.column, tickets.c.ticket_id]
    rows, more = await _page(session, query, keys, part, mark, sort.kind, is_descending)
    next_cursor = encode_cursor(mark, rows[-1]["sort_value"], rows[-1]["ticket_id"]) if more else None
    return [ticket_from(row) for row in rows], next_cursor


async def _page(
    session: AsyncSession,
    query: Select[Any],
    keys: Sequence[ColumnElement[Any]],
    part: Slice,
    mark: str,
    kind: type,
    is_descending: bool,
) -> tuple[Sequence[RowMapping], bool]:
    """Rows in the order of `keys` (a value and an id), and whether more follow.

    `mark` names the list and its order: a cursor of another is refused.
    """
    if part.cursor is not None:
        stood, *after = decode_cursor(part.cursor, str, kind, int)
        if stood != mark or None in after:
            raise Invalid(
                "The cursor belongs to another list or order.",
                code="invalid_cursor",
                errors=(FieldError("cursor", "take it from next_cursor, with the same sorting"),),
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
    """How many tickets the filter leaves."""
    counted = select(func.count()).select_from(tickets).where(*wanted.conditions())
    return (await session.execute(counted)).scalar_one()


async def find_ticket(session: AsyncSession, ticket_id: int) -> Ticket | None:
    """A ticket by its number."""
    row = (await session.execute(TICKET_ROWS.where(tickets.c.ticket_id == ticket_id))).mappings().first()
    return None if row is None else ticket_from(row)


@dataclass(frozen=True, slots=True)
class CameraCount:
    camera_id: int
    camera_name: str
    open_count: int
    closed_count: int


async def count_by_camera(session: AsyncSession, wanted: TicketFilter) -> list[CameraCount]:
    """Tickets by camera and state, for cameras that have any; by the camera's number."""
    is_open = tickets.c.status == TicketStatus.OPEN.value
    counts = (
        select(
            tickets.c.camera_id,
            cameras.c.name,
            func.count().filter(is_open).label("open_count"),
            func.count().filter(~is_open).label("closed_count"),
        )
        .join(cameras, cameras.c.camera_id == tickets.c.camera_id)
        .where(*wanted.conditions())
        .group_by(tickets.c.camera_id, cameras.c.name)
        .order_by(tickets.c.camera_id)
    )
    return [CameraCount(*row) for row in (await session.execute(counts)).all()]


async def count_open(session: AsyncSession) -> int:
    """Tickets that are open."""
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
    """How many reviews stand so."""
    counted = select(func.count()).select_from(reviews).where(reviews.c.status == status.value)
    return (await session.execute(counted)).scalar_one()


async def find_review(session: AsyncSession, review_id: int) -> tuple[Review, Ticket] | None:
    """A review by its number, with its ticket."""
    row = (await session.execute(_REVIEW_ROWS.where(reviews.c.review_id == review_id))).mappings().first()
    if row is None:
        return None
    review = review_from(row)
    ticket = await find_ticket(session, review.ticket_id)
    assert ticket is not None  # a foreign key
    return review, ticket


@dataclass(frozen=True, slots=True)
class IgnoredFilter:
    """None: no condition. `start` and `end` bound the time that counts for the trigger, both included."""

    camera_id: int | None = None
    spot_number: int | None = None
    location: str | None = None
    reason: str | None = None
    start: datetime | None = None
    end: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """As SQL."""
        found: list[ColumnElement[bool]] = [triggers.c.decision == "IGNORED"]
        for column, value in (
            (triggers.c.camera_id, self.camera_id),
            (triggers.c.spot_number, self.spot_number),
            (triggers.c.reason, self.reason),
        ):
            if value is not None:
                found.append(column == value)
        if self.location:
            found.append(triggers.c.location_id.in_(locations_called(self.location)))
        if self.start is not None:
            found.append(triggers.c.at >= self.start)
        if self.end is not None:
            found.append(triggers.c.at <= self.end)
        return found


# All but the kept message, which is long and nobody's business here.
_TRIGGER_ROWS = select(*(column for column in triggers.c if column.name != "body"))


async def list_ignored(
    session: AsyncSession, wanted: IgnoredFilter, part: Slice
) -> tuple[Sequence[RowMapping], str | None]:
    """One page of ignored triggers, latest first, and the cursor of the next."""
    query = _TRIGGER_ROWS.where(*wanted.conditions())
    keys = [triggers.c.at, triggers.c.trigger_id]
    rows, more = await _page(session, query, keys, part, "ignored", datetime, True)
    next_cursor = encode_cursor("ignored", rows[-1]["at"], rows[-1]["trigger_id"]) if more else None
    return rows, next_cursor


async def count_ignored(session: AsyncSession, wanted: IgnoredFilter) -> int:
    """How many ignored triggers the filter leaves."""
    counted = select(func.count()).select_from(triggers).where(*wanted.conditions())
    return (await session.execute(counted)).scalar_one()


async def find_ignored(session: AsyncSession, trigger_id: int) -> RowMapping | None:
    """An ignored trigger by its number."""
    one = _TRIGGER_ROWS.where(triggers.c.trigger_id == trigger_id, triggers.c.decision == "IGNORED")
    return (await session.execute(one)).mappings().first()
