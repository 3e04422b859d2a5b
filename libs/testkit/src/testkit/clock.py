"""A clock that a test moves by hand."""

from datetime import UTC, datetime, timedelta

DEFAULT_START = datetime(2026, 3, 14, 8, 30, tzinfo=UTC)


class ManualClock:
    """A `kit.clock.Clock` that stands still until it is told to move.

    Raises:
        ValueError: when started at, or set to, a naive datetime.
    """

    def __init__(self, start: datetime = DEFAULT_START) -> None:
        self._now = _in_utc(start)

    def now(self) -> datetime:
        """The instant it was last set to, aware, in UTC."""
        return self._now

    def advance(self, by: timedelta | float) -> datetime:
        """Move on (a plain number is seconds; a negative one goes back) and tell the new instant."""
        self._now += by if isinstance(by, timedelta) else timedelta(seconds=by)
        return self._now

    def set(self, to: datetime) -> None:
        """Jump to `to`."""
        self._now = _in_utc(to)


def _in_utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError(f"a datetime needs a time zone: {at!r}")
    return at.astimezone(UTC)
