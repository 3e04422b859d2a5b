"""The time in a push, in the notations that cameras use.

A time without a zone is the location's local time. At the two clock changes of a year that is ambiguous. In the
repeated hour, the instant nearest to the receipt of the push is taken: cameras push at once. In the skipped hour, the
offset from before the change is used, as if the camera had not changed its clock yet.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from ingest.domain.errors import InvalidValue

_WRITTEN = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2})[Tt ]\s*(?P<time>\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?)"
    r"\s*(?P<zone>[Zz]|[+-]\d{2}(?::?\d{2})?)?",
    re.ASCII,
)
_COMPACT = re.compile(
    r"(?P<date>\d{8})[Tt](?P<time>\d{6}(?:[.,]\d{1,9})?)(?P<zone>[Zz]|[+-]\d{2}(?::?\d{2})?)?", re.ASCII
)
_EPOCH = re.compile(r"\d{1,16}(?:\.\d{1,9})?", re.ASCII)
# 1e11 seconds is the year 5138, 1e11 milliseconds is 1973: no camera means the other.
_FIRST_MILLISECONDS = 1e11
_LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59Z


class ClockState(StrEnum):
    """Whether the camera's time is used."""

    OK = "OK"
    # Beyond the limits the time of receipt is used instead.
    AHEAD = "AHEAD"
    BEHIND = "BEHIND"


@dataclass(frozen=True, slots=True)
class ReportedTime:
    """Either an instant (aware, UTC) or a wall-clock time (naive) that needs a zone."""

    at: datetime

    @property
    def key(self) -> str:
        """A part of the event's fingerprint: the same for every notation of an instant, and of a wall-clock time.

        The two are kept apart: which instant a wall-clock time means can depend on the time of receipt, and a repeat is
        received later. No camera changes its notation between a push and its repeats.
        """
        return self.at.isoformat()

    def instant(self, zone: ZoneInfo, received_at: datetime) -> datetime:
        """The instant in UTC; `received_at` decides in the repeated hour.

        Raises:
            ValueError: the instant lies outside the calendar.
        """
        if self.at.tzinfo is not None:
            return self.at
        try:
            first = self.at.replace(tzinfo=zone, fold=0).astimezone(UTC)
            second = self.at.replace(tzinfo=zone, fold=1).astimezone(UTC)
        except OverflowError as error:
            raise InvalidValue("lies outside the calendar") from error
        # In the skipped hour fold=1 is before fold=0; only in the repeated hour it is after it.
        if second > first and abs(second - received_at) < abs(first - received_at):
            return second
        return first


@dataclass(frozen=True, slots=True)
class ClockCheck:
    """`captured_at` is the time that all services use; `skew_s` is reported minus received."""

    captured_at: datetime
    skew_s: float
    state: ClockState


def parse_time(value: object) -> ReportedTime:
    """Read `YYYY-MM-DD HH:MM:SS`, ISO 8601 with or without a zone, or epoch seconds or milliseconds.

    Raises:
        InvalidValue: with the reason.
    """
    if isinstance(value, bool):
        raise InvalidValue("must be a time, not true or false")
    if isinstance(value, int | float):
        return _from_epoch(value)
    if not isinstance(value, str):
        raise InvalidValue("must be a time")
    text = value.strip(" \t\r\n")
    if _EPOCH.fullmatch(text):
        # Eight digits could be a date; epoch seconds have had nine or more since 1973.
        if len(text.partition(".")[0]) < 9 and text.strip("0."):
            raise InvalidValue("must be a date with a time of day, or epoch seconds or milliseconds")
        return _from_epoch(float(text) if "." in text else int(text))
    written = _WRITTEN.fullmatch(text) or _COMPACT.fullmatch(text)
    if written is None:
        raise InvalidValue("must read YYYY-MM-DD HH:MM:SS, ISO 8601, or epoch seconds or milliseconds")
    zone = (written["zone"] or "").upper()
    try:
        at = datetime.fromisoformat(f"{written['date']}T{written['time'].replace(',', '.')}{zone}")
        return ReportedTime(at if at.tzinfo is None else at.astimezone(UTC))
    except (ValueError, OverflowError) as error:
        raise InvalidValue("is not a time of the calendar") from error


def _from_epoch(value: float) -> ReportedTime:
    # NaN fails this comparison too; an int of any length may be compared.
    if not 0 <= value <= _LAST_SECOND * 1000:
        raise InvalidValue("is not an epoch time in seconds or milliseconds")
    whole_ms = round(value) if value >= _FIRST_MILLISECONDS else round(value * 1000)
    return ReportedTime(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=whole_ms))


def check_clock(
    reported_at: datetime, received_at: datetime, *, ahead_limit_s: float, behind_limit_s: float
) -> ClockCheck:
    """Use the camera's time within the limits, and the time of receipt beyond them; no event is lost.

    Late events are normal (cameras repeat them after hours without a network), so `behind_limit_s` is days. A time in
    the future is always wrong, so `ahead_limit_s` is minutes.
    """
    skew_s = (reported_at - received_at).total_seconds()
    if skew_s > ahead_limit_s:
        return ClockCheck(received_at, skew_s, ClockState.AHEAD)
    if skew_s < -behind_limit_s:
        return ClockCheck(received_at, skew_s, ClockState.BEHIND)
    return ClockCheck(reported_at, skew_s, ClockState.OK)
