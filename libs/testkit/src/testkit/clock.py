"""A clock that only moves when a test moves it."""

from datetime import UTC, datetime, timedelta

DEFAULT_START = datetime(2026, 3, 14, 8, 30, tzinfo=UTC)


class ManualClock:
    """A `kit.clock.Clock` whose time changes only through `advance` and `set`.

    Raises:
        ValueError: when started at, or set to, a naive datetime.
    """

    def __init__(self, start: datetime = DEFAULT_START) -> None:
        self._now = _in_utc(start)

    def now(self) -> datetime:
        """The current time of this clock, aware, in UTC."""
        return self._now

    def advance(self, by: timedelta | float) -> datetime:
        """Change the time by that much (a number is seconds, negative goes back) and return the new time."""
        self._now += by if isinstance(by, timedelta) else timedelta(seconds=by)
        return self._now

    def set(self, to: datetime) -> None:
        """Set the time to `to`."""
        self._now = _in_utc(to)


def _in_utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError(f"a datetime needs a time zone: {at!r}")
    return at.astimezone(UTC)
