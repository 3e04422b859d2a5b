"""When to stop asking a camera that does not answer."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(slots=True)
class Circuit:
    """One camera's record.

    After `failures_to_open` failures in a row it is left alone for `rest_s` seconds; then one call tries it,
    and its outcome decides.
    """

    failures_to_open: int
    rest_s: float
    _failures: int = 0
    _resting_until: datetime | None = None

    def may_call(self, now: datetime) -> bool:
        """Whether to call it now. After the rest the first caller may, the others wait for its outcome."""
        if self._failures < self.failures_to_open:
            return True
        if self._resting_until is not None and now < self._resting_until:
            return False
        self._resting_until = now + timedelta(seconds=self.rest_s)
        return True

    def succeeded(self) -> None:
        """It answered."""
        self._failures = 0
        self._resting_until = None

    def failed(self, now: datetime) -> None:
        """It did not."""
        self._failures += 1
        self._resting_until = now + timedelta(seconds=self.rest_s)

    @property
    def is_open(self) -> bool:
        """Whether it is left alone, or on trial after that."""
        return self._failures >= self.failures_to_open
