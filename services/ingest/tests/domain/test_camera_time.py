from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.domain.camera_time import ClockState, ReportedTime, check_clock, parse_time

DUBAI = ZoneInfo("Asia/Dubai")
BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 3, 14, 8, 30, tzinfo=UTC)
NAIVE = datetime(2026, 3, 14, 12, 30)  # noqa: DTZ001 - a camera's wall clock
INSTANT = datetime(2026, 3, 14, 8, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-03-14 12:30:00", NAIVE),
        (" 2026-03-14  12:30:00 ", NAIVE),
        ("2026-03-14T12:30:00", NAIVE),
        ("2026-03-14T12:30", NAIVE),
        ("20260314T123000", NAIVE),
        ("2026-03-14 12:30:00.250", NAIVE.replace(microsecond=250_000)),
        ("2026-03-14 12:30:00,250", NAIVE.replace(microsecond=250_000)),
        ("2026-03-14T08:30:00Z", INSTANT),
        ("2026-03-14T08:30:00z", INSTANT),
        ("2026-03-14T12:30:00+04:00", INSTANT),
        ("2026-03-14T12:30:00+0400", INSTANT),
        ("2026-03-14T12:30:00+04", INSTANT),
        ("2026-03-14 12:30:00 +04:00", INSTANT),
        ("20260314T083000Z", INSTANT),
        (1773477000, INSTANT),
        ("1773477000", INSTANT),
        (1773477000000, INSTANT),
        ("1773477000000", INSTANT),
        (1773477000.25, INSTANT.replace(microsecond=250_000)),
        ("1773477000.25", INSTANT.replace(microsecond=250_000)),
        (1773477000250, INSTANT.replace(microsecond=250_000)),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        ("0", datetime(1970, 1, 1, tzinfo=UTC)),
        (946684800, datetime(2000, 1, 1, tzinfo=UTC)),
        ("9999-12-31 23:59:59", datetime(9999, 12, 31, 23, 59, 59)),  # noqa: DTZ001 - as above
    ],
)
def test_every_notation_that_cameras_use(written: Any, expected: Any) -> None:
    assert parse_time(written).at == expected
    assert parse_time(written).key == expected.isoformat()


@pytest.mark.parametrize(
    "written",
    [
        "", " ", "yesterday", "2026-03-14", "12:30:00", "20260314", "2026-02-30 12:00:00",
        "2026-03-14 25:00:00",
        "2026-03-14 12:60:00", "2026-13-01 00:00:00", "0000-01-01 00:00:00", "14.03.2026 12:30:00",
        "2026-03-14 12:30:00+99:00",
        "\uff12\uff10\uff12\uff16-03-14 12:30:00", "1e9", "NaN", -1, "-5", True, None, [], {},
        float("nan"), float("inf"), 10**30, "9" * 40, "2026-03-14 12:30:00\x00", "0001-01-01T00:00:00+14:00",
    ],
)  # fmt: skip
def test_what_cannot_be_a_time_is_rejected(written: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_time(written)


def test_a_time_without_a_zone_is_the_locations() -> None:
    assert parse_time("2026-03-14 12:30:00").instant(DUBAI, NOW) == INSTANT


def test_a_time_with_a_zone_is_not_the_locations() -> None:
    assert parse_time("2026-03-14T12:30:00+00:00").instant(DUBAI, NOW) == datetime(
        2026, 3, 14, 12, 30, tzinfo=UTC
    )


@pytest.mark.parametrize("late_minutes", [0, 5, 25])
@pytest.mark.parametrize("summer", [True, False])
def test_in_the_hour_that_comes_twice_the_reading_nearest_to_the_arrival_counts(
    summer: Any, late_minutes: Any
) -> None:
    # Berlin went back on 2026-10-25 at 03:00 (UTC+2) to 02:00 (UTC+1): 02:30 was 00:30 and 01:30 UTC.
    expected = datetime(2026, 10, 25, 0 if summer else 1, 30, tzinfo=UTC)
    received = expected + timedelta(minutes=late_minutes)
    assert parse_time("2026-10-25 02:30:00").instant(BERLIN, received) == expected


def test_in_the_hour_that_never_comes_the_old_offset_applies() -> None:
    # Berlin went ahead on 2026-03-29 at 02:00 (UTC+1): 02:30 never was, and is 01:30 UTC by the old offset.
    assert parse_time("2026-03-29 02:30:00").instant(BERLIN, NOW) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize("written", ["0001-01-01 00:00:00", "9999-12-31 23:59:59"])
def test_the_ends_of_the_calendar_are_rejected_where_the_zone_leads_out_of_it(written: Any) -> None:
    zone = DUBAI if written.startswith("0") else ZoneInfo("America/New_York")
    with pytest.raises(ValueError, match="calendar"):
        parse_time(written).instant(zone, NOW)


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers())))
def test_anything_is_a_time_or_a_value_error(value: Any) -> None:
    try:
        reported = parse_time(value)
    except ValueError:
        return
    assert isinstance(reported, ReportedTime)


@given(st.datetimes().map(lambda at: at.replace(microsecond=0)))
def test_a_time_reads_the_same_again(at: Any) -> None:
    assert parse_time(str(at)).at == at
    assert parse_time(parse_time(str(at)).key) == parse_time(str(at))


@pytest.mark.parametrize(
    ("skew_s", "state"),
    [
        (0, ClockState.OK),
        (599, ClockState.OK),
        (601, ClockState.AHEAD),
        (86_400 * 400, ClockState.AHEAD),
        (-86_400, ClockState.OK),
        (-604_700, ClockState.OK),
        (-604_900, ClockState.BEHIND),
        (-86_400 * 365 * 50, ClockState.BEHIND),
    ],
)
def test_a_wrong_clock_is_replaced_by_the_receive_time(skew_s: Any, state: Any) -> None:
    reported = NOW + timedelta(seconds=skew_s)
    judged = check_clock(reported, NOW, ahead_limit_s=600, behind_limit_s=604_800)
    assert judged.state is state
    assert judged.skew_s == skew_s
    assert judged.captured_at == (reported if state is ClockState.OK else NOW)
