"""What each client has left of each limit. Kept in memory: every replica of the gateway counts for itself."""

import time
from collections.abc import Callable

from gateway.domain.rates import RateLimit, Verdict, spend

# A full bucket is the same as one never seen, so this bounds the memory and forgets nothing that counts:
# only when more clients than this are busy at once are the idlest of them forgiven.
MAX_CLIENTS = 100_000


class RateLimiter:
    """The buckets of all clients, under `(limit, client)`."""

    def __init__(
        self, *, max_clients: int = MAX_CLIENTS, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_clients = max_clients
        self._monotonic = monotonic
        self._full_at_s: dict[tuple[str, str], float] = {}

    def spend(self, limit: RateLimit, client: str) -> Verdict:
        """Count one request of that client."""
        now_s = self._monotonic()
        key = (limit.name, client)
        verdict = spend(limit, self._full_at_s.get(key), now_s)
        self._full_at_s[key] = verdict.next_free_s
        if len(self._full_at_s) > self._max_clients:
            self._sweep(now_s)
        return verdict

    def __len__(self) -> int:
        return len(self._full_at_s)

    def _sweep(self, now_s: float) -> None:
        busy = {key: full_at_s for key, full_at_s in self._full_at_s.items() if full_at_s > now_s}
        if len(busy) > self._max_clients:
            # Half go at once, so that a flood of addresses does not sort them all at every request.
            busiest = sorted(busy.items(), key=lambda item: item[1])[len(busy) // 2 :]
            busy = dict(busiest)
        self._full_at_s = busy
