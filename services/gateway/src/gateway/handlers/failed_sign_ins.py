"""Failed sign-ins in memory: every replica counts its own, and a restart clears them."""

from gateway.domain.lockout import FailedSignIns, LockoutPolicy, after_failure, lockout_left_s
from kit.clock import Clock
from kit.errors import RateLimited

# One address reaches the rate limit of the sign-in routes long before it fills this with invented user names.
MAX_PAIRS = 100_000


class FailedSignInCounter:
    """The failed sign-ins of each pair of user name and address."""

    def __init__(self, policy: LockoutPolicy, clock: Clock, *, max_pairs: int = MAX_PAIRS) -> None:
        self._policy = policy
        self._clock = clock
        self._max_pairs = max_pairs
        self._failed: dict[tuple[str, str], FailedSignIns] = {}

    def check(self, pair: tuple[str, str]) -> None:
        """Refuse a pair that is locked out.

        Raises:
            RateLimited: it is, for `retry_after_s` more.
        """
        wait_s = lockout_left_s(self._failed.get(pair), self._clock.now(), self._policy)
        if wait_s:
            raise RateLimited(
                "Too many wrong passwords for this user from this address.",
                code="locked_out",
                retry_after_s=wait_s,
            )

    def count_failure(self, pair: tuple[str, str]) -> None:
        """Count one wrong password."""
        now = self._clock.now()
        self._failed[pair] = after_failure(self._failed.get(pair), now, self._policy)
        if len(self._failed) > self._max_pairs:
            self._failed = {
                key: one for key, one in self._failed.items() if one.expires_at(self._policy) > now
            }
            while len(self._failed) > self._max_pairs:
                self._failed.pop(next(iter(self._failed)))

    def clear(self, pair: tuple[str, str]) -> None:
        """Forget the pair's failures after a successful sign-in."""
        self._failed.pop(pair, None)
