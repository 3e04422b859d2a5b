"""Wrong passwords in memory: every replica counts for itself, and a restart forgives."""

from gateway.domain.throttle import Guesses, ThrottlePolicy, after_failure, locked_for_s
from kit.clock import Clock
from kit.errors import RateLimited

# One address meets the rate limit of the sign-in routes long before it fills this with made-up names.
MAX_PAIRS = 100_000


class GuessCounter:
    """The wrong guesses of each pair of user name and address."""

    def __init__(self, policy: ThrottlePolicy, clock: Clock, *, max_pairs: int = MAX_PAIRS) -> None:
        self._policy = policy
        self._clock = clock
        self._max_pairs = max_pairs
        self._guesses: dict[tuple[str, str], Guesses] = {}

    def check(self, pair: tuple[str, str]) -> None:
        """Refuse a pair that is locked out.

        Raises:
            RateLimited: it is, for `retry_after_s` more.
        """
        wait_s = locked_for_s(self._guesses.get(pair), self._clock.now())
        if wait_s:
            raise RateLimited(
                "Too many wrong passwords for this user from this address.",
                code="locked_out",
                retry_after_s=wait_s,
            )

    def count_failure(self, pair: tuple[str, str]) -> None:
        """One more wrong password."""
        now = self._clock.now()
        self._guesses[pair] = after_failure(self._guesses.get(pair), now, self._policy)
        if len(self._guesses) > self._max_pairs:
            self._guesses = {
                key: one for key, one in self._guesses.items() if one.expires_at(self._policy) > now
            }
            while len(self._guesses) > self._max_pairs:
                self._guesses.pop(next(iter(self._guesses)))

    def clear(self, pair: tuple[str, str]) -> None:
        """The right password came."""
        self._guesses.pop(pair, None)
