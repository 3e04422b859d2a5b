"""Bounds of a range of time: instants, and days in a time zone."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Column, MetaData, Table, Text, create_engine, insert, select

from kit.days import Bound, day_limits, is_day, parse_bound, range_condition
from kit.db import UtcDateTime

DUBAI, LIMA = ZoneInfo("Asia/Dubai"), ZoneInfo("America/Lima")
DAY = date(2024, 3, 31)


def utc(*values: int) -> datetime:
    return datetime(*values, tzinfo=UTC)  # type: ignore[arg-type]  # year, month, day at least


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-03-31", DAY),
        ("20240331", DAY),
        ("2024-03-31T00:00:00", utc(2024, 3, 31)),
        ("2024-03-31 10:30", utc(2024, 3, 31, 10, 30)),
        ("2024-03-31T10:30:00+04:00", utc(2024, 3, 31, 6, 30)),
        ("2024-03-31T10:30:00Z", utc(2024, 3, 31, 10, 30)),
    ],
)
def test_a_bound_is_read(text: str, expected: Bound) -> None:
    assert parse_bound(text) == expected
    assert is_day(parse_bound(text)) is (expected == DAY)


@pytest.mark.parametrize("text", ["", "yesterday", "2024-02-30", "31.03.2024", "0001-01-01T00:00:00+04:00"])
def test_what_is_no_bound_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_bound(text)


@pytest.mark.parametrize(
    ("day", "zone", "first", "after"),
    [
        (DAY, "UTC", utc(2024, 3, 31), utc(2024, 4, 1)),
        (DAY, "Asia/Dubai", utc(2024, 3, 30, 20), utc(2024, 3, 31, 20)),
        # Clocks change that day: it has 23 hours.
        (DAY, "Europe/Berlin", utc(2024, 3, 30, 23), utc(2024, 3, 31, 22)),
        # Midnight is skipped: the day begins at 01:00.
        (DAY, "Asia/Beirut", utc(2024, 3, 30, 22), utc(2024, 3, 31, 21)),
        (date.min, "Asia/Dubai", datetime.min.replace(tzinfo=UTC), None),
        (date.max, "UTC", utc(9999, 12, 31), datetime.max.replace(tzinfo=UTC)),
        (date.max, "America/Lima", utc(9999, 12, 31, 5), datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_the_limits_of_a_day(day: date, zone: str, first: datetime, after: datetime | None) -> None:
    limits = day_limits(day, ZoneInfo(zone))
    assert limits[0] == first
    assert after is None or limits[1] == after


ROWS = {
    "dubai before": ("d", utc(2024, 3, 30, 19, 59)),
    "dubai first": ("d", utc(2024, 3, 30, 20)),
    "dubai last": ("d", utc(2024, 3, 31, 19, 59)),
    "dubai after": ("d", utc(2024, 3, 31, 20)),
    "lima before": ("l", utc(2024, 3, 31, 4, 59)),
    "lima first": ("l", utc(2024, 3, 31, 5)),
    "lima last": ("l", utc(2024, 4, 1, 4, 59)),
    "lima after": ("l", utc(2024, 4, 1, 5)),
    "other before": ("?", utc(2024, 3, 30, 23, 59)),
    "other first": ("?", utc(2024, 3, 31)),
    "other after": ("?", utc(2024, 4, 1)),
}
ALL_DAY = {"dubai first", "dubai last", "lima first", "lima last", "other first"}


@pytest.mark.parametrize(
    ("start", "end", "is_end_included", "found"),
    [
        (DAY, DAY, True, ALL_DAY),
        (DAY, DAY, False, ALL_DAY),
        (DAY, None, True, ALL_DAY | {name for name in ROWS if "after" in name}),
        (None, DAY, True, ALL_DAY | {name for name in ROWS if "before" in name}),
        (None, None, True, set(ROWS)),
        (date.min, date.max, True, set(ROWS)),
        (utc(2024, 4, 1), utc(2024, 4, 1, 4, 59), True, {"lima last", "other after"}),
        (utc(2024, 4, 1), utc(2024, 4, 1, 4, 59), False, {"other after"}),
        (DAY, utc(2024, 3, 31), True, {"dubai first", "other first"}),
    ],
)
def test_rows_are_found_by_the_days_of_their_zones(
    start: Bound | None, end: Bound | None, is_end_included: bool, found: set[str]
) -> None:
    table = Table(
        "rows", MetaData(), Column("name", Text), Column("zone", Text), Column("happened_at", UtcDateTime)
    )
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        table.create(connection)
        connection.execute(
            insert(table),
            [{"name": name, "zone": zone, "happened_at": at} for name, (zone, at) in ROWS.items()],
        )
        conditions = range_condition(
            table.c.happened_at,
            start,
            end,
            zone_column=table.c.zone,
            zones={"d": DUBAI, "l": LIMA},
            is_end_included=is_end_included,
        )
        assert set(connection.execute(select(table.c.name).where(*conditions)).scalars()) == found
