"""How many requests a client may make: a token bucket in its one-number form (GCRA, ITU-T I.371)."""

from dataclasses import dataclass

_WINDOWS_S = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`amount` requests may come at once; what is spent comes back evenly over `window_s`."""

    name: str
    amount: int
    window_s: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """`next_free_s` is the state to keep for the client: when its bucket is full again, on the same clock."""

    is_allowed: bool
    next_free_s: float
    remaining: int
    reset_after_s: float
    retry_after_s: float


def parse_rate(name: str, text: str) -> RateLimit:
    """A limit written as `600/minute` (second, minute, hour, day).

    Raises:
        ValueError: with what is wrong.
    """
    amount, slash, window = text.partition("/")
    window_s = _WINDOWS_S.get(window.strip())
    if not slash or window_s is None or not amount.strip().isdecimal() or int(amount) < 1:
        raise ValueError(f"{text!r} is not a rate like 600/minute")
    return RateLimit(name, int(amount), window_s)


def spend(limit: RateLimit, next_free_s: float | None, now_s: float) -> Verdict:
    """One request of a client whose kept state is `next_free_s` (None: not seen lately)."""
    interval_s = limit.window_s / limit.amount
    full_at_s = max(next_free_s or 0.0, now_s)
    after_s = full_at_s + interval_s
    over_s = after_s - now_s - limit.window_s
    # Sums of intervals drift by some 1e-10 s; without the slack the last request of a full bucket is refused.
    if over_s > interval_s * 1e-6:
        return Verdict(
            is_allowed=False,
            next_free_s=full_at_s,
            remaining=0,
            reset_after_s=full_at_s - now_s,
            retry_after_s=over_s,
        )
    remaining = int((now_s + limit.window_s - after_s) / interval_s + 1e-6)
    return Verdict(
        is_allowed=True,
        next_free_s=after_s,
        remaining=remaining,
        reset_after_s=after_s - now_s,
        retry_after_s=0.0,
    )
