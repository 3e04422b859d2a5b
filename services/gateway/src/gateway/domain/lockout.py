"""How many wrong passwords are accepted for each pair of user name and address before it is locked out.

For the pair, and not for the user alone: otherwise anyone could lock the operator out by sending wrong passwords.
An address that tries many user names is stopped by the rate limit of the sign-in routes.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class LockoutPolicy:
    """`max_failures` wrong passwords within `window` lock the pair out for `lockout`."""

    max_failures: int
    window: timedelta
    lockout: timedelta


@dataclass(frozen=True, slots=True)
class FailedSignIns:
    """The wrong passwords of one user name from one address."""

    failures: int
    first_at: datetime
    locked_until: datetime | None = None

    def expires_at(self, policy: LockoutPolicy) -> datetime:
        """When these failures no longer count."""
        return max(self.first_at + policy.window, self.locked_until or self.first_at)


def lockout_left_s(failed: FailedSignIns | None, now: datetime, policy: LockoutPolicy) -> int:
    """Whole seconds until the next password is checked, 0 when it is checked now.

    A lockout that would last longer than the policy's began before the clock was set back, and has ended.
    """
    if failed is None or failed.locked_until is None or failed.locked_until <= now:
        return 0
    if failed.locked_until - now > policy.lockout:
        return 0
    return max(1, -int((now - failed.locked_until).total_seconds() // 1))


def after_failure(failed: FailedSignIns | None, now: datetime, policy: LockoutPolicy) -> FailedSignIns:
    """The state after one more wrong password."""
    if failed is None or failed.expires_at(policy) <= now or failed.first_at > now:
        failed = FailedSignIns(0, now)
    failures = failed.failures + 1
    if failures >= policy.max_failures:
        return FailedSignIns(failures, failed.first_at, now + policy.lockout)
    return FailedSignIns(failures, failed.first_at, failed.locked_until)
