"""Bounds of a range of time as people write them: an instant, or a day in the time zone of what is looked for."""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, and_, or_

Bound = datetime | date
"""An aware time, or a whole day."""

_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_UTC = ZoneInfo("UTC")


def parse_bound(text: str) -> Bound:
    """A date without a time is a day; a time without an offset is UTC.

    Raises:
        ValueError: it is neither, in ISO 8601.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        parsed = datetime.fromisoformat(text)
    try:
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("outside the years 1 to 9999") from error


def is_day(bound: Bound | None) -> bool:
    """Whether it is a whole day, so that its instants depend on the time zone."""
    return bound is not None and not isinstance(bound, datetime)


def day_limits(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The first instant of a day in a time zone, and the first one after it."""
    return _midnight(day, zone), _LAST if day == date.max else _midnight(day + timedelta(days=1), zone)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    try:
        return datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC)
    except OverflowError:
        return _FIRST if day.year == 1 else _LAST


def range_condition(
    column: ColumnElement[Any],
    start: Bound | None,
    end: Bound | None,
    *,
    zone_column: ColumnElement[Any],
    zones: Mapping[Any, ZoneInfo],
    is_end_included: bool,
) -> list[ColumnElement[bool]]:
    """The conditions that `column` is in a range whose bounds may be days; a day that bounds it is in it.

    zone_column: what decides a row's time zone; zones: its values → time zone. Rows with another value are in UTC.
    is_end_included: whether an `end` that is an instant is in the range.
    """
    if not is_day(start) and not is_day(end):
        return list(_comparisons(column, start, end, _UTC, is_end_included))
    values_of: dict[ZoneInfo, list[Any]] = {}
    for value, zone in zones.items():
        values_of.setdefault(zone, []).append(value)
    in_zone = [
        and_(zone_column.in_(values), *_comparisons(column, start, end, zone, is_end_included))
        for zone, values in values_of.items()
    ]
    others = and_(zone_column.not_in(list(zones)), *_comparisons(column, start, end, _UTC, is_end_included))
    # The whole range, with which the database can use an index of the column.
    day = timedelta(days=1)
    around = []
    if start is not None:
        first = day_limits(start, _UTC)[0] if not isinstance(start, datetime) else start
        around.append(column >= max(first, _FIRST + day) - day)
    if end is not None:
        last = day_limits(end, _UTC)[1] if not isinstance(end, datetime) else end
        around.append(column <= min(last, _LAST - day) + day)
    return [*around, or_(*in_zone, others)]


def _comparisons(
    column: ColumnElement[Any], start: Bound | None, end: Bound | None, zone: ZoneInfo, is_end_included: bool
) -> Iterator[ColumnElement[bool]]:
    if isinstance(start, datetime):
        yield column >= start
    elif start is not None:
        yield column >= day_limits(start, zone)[0]
    if isinstance(end, datetime):
        yield column <= end if is_end_included else column < end
    elif end is not None:
        yield column < day_limits(end, zone)[1]
