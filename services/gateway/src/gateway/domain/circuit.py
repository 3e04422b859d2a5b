"""When to stop asking a service that does not answer."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CircuitPolicy:
    """`max_failures` connections in a row that could not be made stop all tries for `pause_s`."""

    max_failures: int
    pause_s: float


@dataclass(frozen=True, slots=True)
class Circuit:
    """The failures in a row so far; `open_until_s` is on the caller's own monotonic clock."""

    failures: int = 0
    open_until_s: float = 0.0

    def pause_left_s(self, now_s: float) -> float:
        """Seconds for which no try is made, 0 when one may be."""
        return max(0.0, self.open_until_s - now_s)


def after_connect_failure(circuit: Circuit, now_s: float, policy: CircuitPolicy) -> Circuit:
    """One more failure. After a pause a single failure opens the circuit again: the count stays up."""
    failures = circuit.failures + 1
    if failures >= policy.max_failures:
        return Circuit(failures, now_s + policy.pause_s)
    return Circuit(failures, circuit.open_until_s)
