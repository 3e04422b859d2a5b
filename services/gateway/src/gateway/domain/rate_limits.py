"""How many requests a client may make: a token bucket that is stored as one number (GCRA, ITU-T I.371)."""

from dataclasses import dataclass

_WINDOWS_S = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A bucket of `amount` requests, refilled evenly over `window_s`."""

    name: str
    amount: int
    window_s: float


@dataclass(frozen=True, slots=True)
class RateLimitResult:
    """`full_at_s` is the state to store for the client: when its bucket is full again, on the same clock."""

    is_allowed: bool
    full_at_s: float
    remaining: int
    reset_after_s: float
    retry_after_s: float


def parse_rate(name: str, text: str) -> RateLimit:
    """A limit written as `600/minute` (second, minute, hour, day).

    Raises:
        ValueError: with the reason.
    """
    amount, slash, window = text.partition("/")
    window_s = _WINDOWS_S.get(window.strip())
    if not slash or window_s is None or not amount.strip().isdecimal() or int(amount) < 1:
        raise ValueError(f"{text!r} is not a rate like 600/minute")
    return RateLimit(name, int(amount), window_s)


def take(limit: RateLimit, full_at_s: float | None, now_s: float) -> RateLimitResult:
    """Take one request from a client's bucket; `full_at_s` is its stored state, None for an unknown client."""
    interval_s = limit.window_s / limit.amount
    before_s = max(full_at_s or 0.0, now_s)
    after_s = before_s + interval_s
    over_s = after_s - now_s - limit.window_s
    # Sums of intervals drift by some 1e-10 s; without a tolerance the last request of a full bucket is refused.
    if over_s > interval_s * 1e-6:
        return RateLimitResult(
            is_allowed=False,
            full_at_s=before_s,
            remaining=0,
            reset_after_s=before_s - now_s,
            retry_after_s=over_s,
        )
    remaining = int((now_s + limit.window_s - after_s) / interval_s + 1e-6)
    return RateLimitResult(
        is_allowed=True,
        full_at_s=after_s,
        remaining=remaining,
        reset_after_s=after_s - now_s,
        retry_after_s=0.0,
    )
