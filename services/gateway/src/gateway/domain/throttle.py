"""How often a password may be guessed, for each pair of user name and address.

The pair, and not the user alone: else anyone could lock the operator out by guessing wrongly from elsewhere.
One address that tries many names meets the rate limit of the sign-in routes instead.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class ThrottlePolicy:
    """`max_failures` wrong passwords within `window` close the door for `lockout`."""

    max_failures: int
    window: timedelta
    lockout: timedelta


@dataclass(frozen=True, slots=True)
class Guesses:
    """The wrong guesses of one user name from one address."""

    failures: int
    first_at: datetime
    locked_until: datetime | None = None

    def expires_at(self, policy: ThrottlePolicy) -> datetime:
        """When nothing of this needs remembering."""
        return max(self.first_at + policy.window, self.locked_until or self.first_at)


def locked_for_s(guesses: Guesses | None, now: datetime) -> int:
    """Whole seconds until another try is looked at, 0 when it is now."""
    if guesses is None or guesses.locked_until is None or guesses.locked_until <= now:
        return 0
    return max(1, -int((now - guesses.locked_until).total_seconds() // 1))


def after_failure(guesses: Guesses | None, now: datetime, policy: ThrottlePolicy) -> Guesses:
    """What to remember after one more wrong password."""
    if guesses is None or guesses.expires_at(policy) <= now:
        guesses = Guesses(0, now)
    failures = guesses.failures + 1
    if failures >= policy.max_failures:
        return Guesses(failures, guesses.first_at, now + policy.lockout)
    return Guesses(failures, guesses.first_at, guesses.locked_until)
