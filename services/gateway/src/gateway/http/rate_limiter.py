"""The token buckets of all clients, in memory: every replica of the gateway counts its own requests."""

import time
from collections.abc import Callable

from gateway.domain.rate_limits import RateLimit, RateLimitResult, take

# A full bucket is the same as an unknown client, so full ones are dropped first. Only when more clients than
# this have a bucket that is not full do the fullest buckets count as full.
MAX_CLIENTS = 100_000


class RateLimiter:
    """Buckets by `(limit, client)`."""

    def __init__(
        self, *, max_clients: int = MAX_CLIENTS, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_clients = max_clients
        self._monotonic = monotonic
        self._full_at_s: dict[tuple[str, str], float] = {}

    def take(self, limit: RateLimit, client: str) -> RateLimitResult:
        """Count one request of that client."""
        now_s = self._monotonic()
        key = (limit.name, client)
        result = take(limit, self._full_at_s.get(key), now_s)
        self._full_at_s[key] = result.full_at_s
        if len(self._full_at_s) > self._max_clients:
            self._drop_full_buckets(now_s)
        return result

    def __len__(self) -> int:
        return len(self._full_at_s)

    def _drop_full_buckets(self, now_s: float) -> None:
        left = {key: full_at_s for key, full_at_s in self._full_at_s.items() if full_at_s > now_s}
        if len(left) > self._max_clients:
            # Half of them at once: a flood of new addresses must not cause a sort at every request.
            emptiest = sorted(left.items(), key=lambda item: item[1])[len(left) // 2 :]
            left = dict(emptiest)
        self._full_at_s = left
