"""Circuit breaker: when to stop calling a dependency that does not answer."""

from dataclasses import dataclass


@dataclass(slots=True)
class Circuit:
    """The failures in a row of one dependency. Times are seconds on the caller's clock; setting it back ends a pause.

    `failures_to_open` of them open the circuit: no call is made for `pause_s`. Then one call is allowed, the
    others wait for its outcome; a failure opens the circuit again.
    """

    failures_to_open: int
    pause_s: float
    failures: int = 0
    _paused_until_s: float = 0.0

    @property
    def is_open(self) -> bool:
        """Whether so many calls in a row failed, until one succeeds."""
        return self.failures >= self.failures_to_open

    def may_call(self, now_s: float) -> bool:
        """Whether to make a call now; True claims the one trial call of an open circuit."""
        if not self.is_open:
            return True
        if 0 < self._paused_until_s - now_s <= self.pause_s:
            return False
        self._paused_until_s = now_s + self.pause_s
        return True

    def succeeded(self) -> None:
        """A call was answered."""
        self.failures = 0

    def failed(self, now_s: float) -> None:
        """A call was not answered."""
        self.failures += 1
        self._paused_until_s = now_s + self.pause_s
