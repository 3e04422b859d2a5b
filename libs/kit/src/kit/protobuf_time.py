"""`google.protobuf` timestamps and durations to the standard library's types and back."""

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp


class TimeOutOfRange(ValueError):  # noqa: N818 - it reads as what happened
    """A timestamp outside the years 1 to 9999, or a duration outside the range of a Duration (10,000 years)."""


def to_timestamp(moment: datetime) -> Timestamp:
    """A time as a message carries it.

    Raises:
        ValueError: it has no time zone. Protobuf would take it for UTC.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def to_datetime(stamp: Timestamp) -> datetime:
    """A time of a message in UTC, cut to microseconds.

    Raises:
        TimeOutOfRange: it is outside the years 1 to 9999, or its nanoseconds are not from 0 to 999,999,999.
    """
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise TimeOutOfRange(_described("timestamp", stamp)) from error


def to_timedelta(duration: Duration) -> timedelta:
    """A duration of a message, cut to microseconds.

    Raises:
        TimeOutOfRange: it is longer than a Duration may be, or its nanoseconds are out of range.
    """
    try:
        # Only this checks the range: `ToTimedelta` checks nothing below the range of timedelta.
        duration.ToJsonString()
        return duration.ToTimedelta()
    except (ValueError, OverflowError) as error:
        raise TimeOutOfRange(_described("duration", duration)) from error


def _described(kind: str, value: Timestamp | Duration) -> str:
    return f"the {kind} of {value.seconds} s and {value.nanos} ns is out of range"
