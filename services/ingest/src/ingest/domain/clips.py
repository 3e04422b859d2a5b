"""Which part of a camera's recording to fetch."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from ingest.domain.errors import ErrorKind, FieldProblem, InputError

# Around an entry: the vehicle enters, and has parked.
BEFORE = timedelta(seconds=15)
AFTER = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` to `end`, aware."""

    start: datetime
    end: datetime


def clip_window(
    start: datetime | None, end: datetime | None, now: datetime, *, max_length_s: float
) -> Window:
    """Both ends, the one end with the usual length, or the last 20 seconds.

    Raises:
        InputError: `invalid_window`.
    """
    window = _window(start, end, now)
    for name, value in (("start", window.start), ("end", window.end)):
        if value.tzinfo is None:
            raise _refused(name, "must carry a time zone")
    if window.end <= window.start:
        raise _refused("end", "must lie after start")
    if (window.end - window.start).total_seconds() > max_length_s:
        raise _refused("end", f"the clip may be {max_length_s:g} seconds long")
    if window.start > now:
        raise _refused("start", "lies in the future")
    return window


def _window(start: datetime | None, end: datetime | None, now: datetime) -> Window:
    usual = BEFORE + AFTER
    if start is not None:
        return Window(start, end if end is not None else start + usual)
    end = end if end is not None else now
    return Window(end - usual, end)


def _refused(field: str, reason: str) -> InputError:
    return InputError(
        ErrorKind.INVALID, "invalid_window", f"{field} {reason}", (FieldProblem(field, reason),)
    )
