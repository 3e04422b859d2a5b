"""Timestamps and durations of messages: exact within their range, one error outside of it."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from kit.protobuf_time import TimeOutOfRange, to_datetime, to_timedelta, to_timestamp


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_survives_the_round_trip(moment: datetime) -> None:
    assert to_datetime(to_timestamp(moment)) == moment


def test_a_time_of_another_zone_is_the_same_instant_in_utc() -> None:
    moment = datetime(2026, 3, 14, 12, 30, tzinfo=timezone(timedelta(hours=4)))
    read = to_datetime(to_timestamp(moment))
    assert read == moment
    assert read.utcoffset() == timedelta(0)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        to_timestamp(datetime(2026, 3, 14))  # noqa: DTZ001 - what is refused


@pytest.mark.parametrize(
    "stamp",
    [
        Timestamp(seconds=253_402_300_800),  # year 10000
        Timestamp(seconds=-62_135_596_801),  # year 0
        Timestamp(seconds=2**63 - 1),
        Timestamp(nanos=1_000_000_000),
        Timestamp(nanos=-1),
    ],
    ids=str,
)
def test_a_timestamp_out_of_range_is_an_error(stamp: Timestamp) -> None:
    with pytest.raises(TimeOutOfRange, match=f"timestamp of {stamp.seconds} s and {stamp.nanos} ns"):
        to_datetime(stamp)


@given(st.timedeltas(min_value=timedelta(days=-3_652_500), max_value=timedelta(days=3_652_500)))
def test_a_duration_survives(value: timedelta) -> None:
    duration = Duration()
    duration.FromTimedelta(value)
    assert to_timedelta(duration) == value


@pytest.mark.parametrize(
    "duration",
    [
        Duration(seconds=315_576_000_001),
        Duration(seconds=-(2**63)),
        Duration(nanos=1_000_000_000),
        Duration(seconds=1, nanos=-1),
    ],
    ids=str,
)
def test_a_duration_out_of_range_is_an_error(duration: Duration) -> None:
    with pytest.raises(TimeOutOfRange, match=f"duration of {duration.seconds} s and {duration.nanos} ns"):
        to_timedelta(duration)
