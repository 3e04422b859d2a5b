"""How far time is known to have passed, so that a wrong clock deletes nothing, and how much one run may delete."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class RetentionClock:
    """`trusted_until`: the time that ages are measured against. `checked_at`: what the clock showed at the last run.

    `waited_s`: for how many seconds of running time a clock that is ahead of `trusted_until` has been observed.
    """

    trusted_until: datetime
    checked_at: datetime
    waited_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ClockLimits:
    """`max_step`: longest time that may have passed without being observed (the service was off).

    `confirm_after`: running time after which a clock that is further ahead is believed.
    """

    max_step: timedelta
    confirm_after: timedelta


def advance_clock(
    known: RetentionClock, now: datetime, elapsed_s: float, limits: ClockLimits
) -> tuple[RetentionClock, timedelta]:
    """The clock after a run at `now`, and by how much `now` is ahead of what is trusted (zero: not at all).

    `elapsed_s` is the time since the last run by a clock that cannot be set; 0 for the first run of a process.
    """
    if now <= known.trusted_until:  # the clock was set back: measuring against the earlier time deletes less
        return RetentionClock(now, now), timedelta(0)
    shown = max(timedelta(0), now - known.checked_at)
    # Replicas share the record: what another one has observed since the last run of this one is not counted twice.
    elapsed = min(timedelta(seconds=max(0.0, elapsed_s)), shown)
    if now - known.trusted_until <= elapsed + limits.max_step:
        return RetentionClock(now, now), timedelta(0)
    has_jumped = shown > elapsed + limits.max_step
    waited_s = 0.0 if has_jumped else known.waited_s + elapsed.total_seconds()
    if waited_s >= limits.confirm_after.total_seconds():
        return RetentionClock(now, now), timedelta(0)
    held = replace(known, trusted_until=known.trusted_until + elapsed, checked_at=now, waited_s=waited_s)
    return held, now - held.trusted_until


def most_deletions(existing: int, *, max_share: float, min_count: int) -> int:
    """How many of `existing` things one run may delete."""
    return max(min_count, int(existing * max_share))
