"""Query and path parameters, validated strictly."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from fastapi import Path, Query
from pydantic import BeforeValidator

from kit.days import Bound, is_day, parse_bound
from kit.errors import FieldError, Invalid
from kit.pagination import MAX_ID, Page
from tickets.domain.lists import TICKET_SORT_KEYS, IgnoredTriggerFilter, Slice, TicketFilter
from tickets.domain.sessions import REASON_TEXTS
from tickets.domain.tickets import TicketStatus
from tickets.handlers.plate_filters import city, pattern

MAX_SPOT_NUMBER = 2**31 - 1
MAX_WORD_CHARS = 64

Id = Annotated[int, Path(ge=1, le=MAX_ID)]
Location = Annotated[str, Path(max_length=MAX_WORD_CHARS, description="its number or code")]
CameraId = Annotated[int | None, Query(ge=1, le=MAX_ID, description="only of this camera")]
SpotNumber = Annotated[int | None, Query(ge=1, le=MAX_SPOT_NUMBER, description="only of this spot number")]
Word = Annotated[str | None, Query(max_length=MAX_WORD_CHARS)]
_DAY = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
_TIME = r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?"
_OFFSET = r"(Z|[+-]([01]\d|2[0-3]):?[0-5]\d)?"
Moment = Annotated[
    str | None,
    Query(
        max_length=MAX_WORD_CHARS,
        json_schema_extra={"pattern": f"^({_DAY}([T ]{_TIME}{_OFFSET})?)?$"},
        description="ISO 8601, both ends included; a date is that day at the location, a time without an offset is UTC",
    ),
]

# Accepted in any case, since people type them.
_UPPER = BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value)
_LOWER = BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)

# The plus sign of an offset that was not escaped in the query is decoded as a space.
_UNESCAPED_PLUS = re.compile(r"(?<=:\d\d) (?=\d\d:?\d\d$)|(?<=\d\.\d{3}) (?=\d\d:?\d\d$)")

_REASON_NAMES = {text: reason.value for reason, text in REASON_TEXTS.items()}


def slice_of(page: Page) -> Slice:
    """The rows of a request's page."""
    return Slice(limit=page.page_size, offset=page.offset, cursor=page.cursor)


def moment(field: str, text: str | None) -> Bound | None:
    """A time, or a day.

    Raises:
        Invalid: it is neither, in ISO 8601.
    """
    if text is None or not text.strip():
        return None
    try:
        return parse_bound(_UNESCAPED_PLUS.sub("+", text.strip()))
    except ValueError:
        reason = "must be ISO 8601, as 2024-01-31T23:59:59Z or 2024-01-31"
        raise Invalid("A time is not valid.", errors=(FieldError(field, reason),)) from None


def bounds(names: tuple[str, str], start: str | None, end: str | None) -> tuple[Bound | None, Bound | None]:
    """Both ends of a range of time.

    Raises:
        Invalid: one is not a time, or the end is before the start.
    """
    first, last = moment(names[0], start), moment(names[1], end)
    if first is not None and last is not None and _is_before(last, first):
        raise Invalid("The range of time is empty.", errors=(FieldError(names[1], f"is before {names[0]}"),))
    return first, last


def _is_before(one: Bound, other: Bound) -> bool:
    """False also for a day and an instant: their order depends on the time zone."""
    if isinstance(one, datetime) and isinstance(other, datetime):
        return one < other
    return is_day(one) and is_day(other) and one < other


@dataclass(frozen=True, slots=True)
class TicketQuery:
    """Which tickets, in what order."""

    wanted: TicketFilter
    sort_by: str
    is_descending: bool


def ticket_query(
    search: Annotated[
        str | None,
        Query(
            max_length=MAX_WORD_CHARS,
            description="a part of the plate, code included; digits of any script, at least one letter or digit",
        ),
    ] = None,
    camera_id: CameraId = None,
    spot_number: SpotNumber = None,
    plate_number: Annotated[
        str | None,
        Query(max_length=MAX_WORD_CHARS, description="the full number, with or without its code"),
    ] = None,
    plate_code: Word = None,
    plate_city: Word = None,
    entry_start: Moment = None,
    entry_end: Moment = None,
    status: Annotated[
        Literal["OPEN", "CLOSED"] | None, _UPPER, Query(description="open or closed ones only")
    ] = None,
    location: Annotated[
        str | None, Query(max_length=MAX_WORD_CHARS, description="a location's number or code")
    ] = None,
    sort_by: Annotated[
        str, Query(max_length=MAX_WORD_CHARS, json_schema_extra={"enum": [*TICKET_SORT_KEYS]})
    ] = "id",
    sort_order: Annotated[Literal["asc", "desc"], _LOWER] = "desc",
) -> TicketQuery:
    """The dependency for the filters of a list of tickets.

    Raises:
        Invalid: a time or a part of a plate is not valid.
    """
    start, end = bounds(("entry_start", "entry_end"), entry_start, entry_end)
    wanted = TicketFilter(
        search=pattern("search", search),
        camera_id=camera_id,
        spot_number=spot_number,
        plate_number=pattern("plate_number", plate_number),
        plate_code=pattern("plate_code", plate_code),
        plate_city=city(plate_city),
        entry_start=start,
        entry_end=end,
        status=TicketStatus(status) if status is not None else None,
        location=location,
    )
    return TicketQuery(wanted, sort_by, sort_order == "desc")


def ignored_trigger_query(
    camera_id: CameraId = None,
    spot_number: SpotNumber = None,
    location: Annotated[
        str | None, Query(max_length=MAX_WORD_CHARS, description="a location's number or code")
    ] = None,
    reason: Annotated[
        str | None, Query(max_length=MAX_WORD_CHARS, description="as `Spot already occupied`")
    ] = None,
    start: Moment = None,
    end: Moment = None,
) -> IgnoredTriggerFilter:
    """The dependency for the filters of a list of ignored triggers.

    Raises:
        Invalid: a time is not valid.
    """
    first, last = bounds(("start", "end"), start, end)
    name = _REASON_NAMES.get(reason, reason) if reason is not None else None
    return IgnoredTriggerFilter(camera_id, spot_number, location, name, first, last)
