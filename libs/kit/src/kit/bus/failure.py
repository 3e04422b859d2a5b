"""How a handler can fail, and what follows. Decisions only: the back ends carry them out."""

from dataclasses import dataclass
from enum import Enum

from sqlalchemy.exc import DisconnectionError

from kit import errors
from kit.db import database_fault

_UNUSED_RETRY_AFTER_S = 1  # the retry policy decides when an event is handled again


class Rejected(Exception):  # noqa: N818 - names an outcome, as the log and metrics do
    """Raised by a handler: this event is bad input and a retry cannot help. It becomes a dead letter at once."""


class Transient(Exception):  # noqa: N818 - names an outcome, as the log and metrics do
    """Raised by a handler: this event may succeed later. It is retried, then it becomes a dead letter."""


class Unroutable(Exception):  # noqa: N818 - names an outcome, as the log and metrics do
    """No queue is bound for the event: the broker would have dropped it."""


class HeldBack(Exception):  # noqa: N818 - names an outcome, as the log and metrics do
    """Not published, because an earlier event of the same partition key in the same call was not."""


class Failure(Enum):
    """The kinds of failure. An outage of a dependency is not the event's fault, so it is retried for longer."""

    REJECTED = "rejected"
    TRANSIENT = "transient"
    OUTAGE = "outage"
    BUG = "bug"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """After which delays a failed event is retried; in an outage the last one repeats for `outage_retry_limit_s`."""

    delays_s: tuple[float, ...]
    outage_retry_limit_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class Retry:
    """Handle the event again after the delay. `is_outage`: or, in order, when the dependency answers again."""

    delay_s: float
    is_outage: bool = False


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Make the event a dead letter, with this reason in front of the text of the error."""

    because: str


def classify(error: BaseException) -> Failure:
    """What kind of failure an exception from a handler is. Any other exception is a bug."""
    match database_fault(error, retry_after_s=_UNUSED_RETRY_AFTER_S) or error:
        case Rejected():
            return Failure.REJECTED
        # Colliding transactions succeed when they are retried.
        case Transient() | TimeoutError() | errors.Unavailable(code="transaction_conflict"):
            return Failure.TRANSIENT
        case errors.UpstreamTimeout() | errors.UpstreamFailed() | errors.RateLimited():
            return Failure.TRANSIENT
        # Unroutable: the service that subscribes has not started yet, so its queue does not exist.
        case (
            errors.Unavailable()
            | errors.StorageFull()
            | DisconnectionError()
            | ConnectionError()
            | Unroutable()
        ):
            return Failure.OUTAGE
        case errors.LookoutError(status=status) if status < errors.LookoutError.default_status:
            return Failure.REJECTED
        case _:
            return Failure.BUG


def next_step(
    policy: RetryPolicy, failure: Failure, failures: int, elapsed_s: float, *, outages: int = 0
) -> Retry | GiveUp:
    """What to do after the `failures`-th failure (1 is the first), `elapsed_s` after the first one.

    `outages` of the earlier ones do not count against an event that fails for another reason now.
    """
    if failure is Failure.REJECTED:
        return GiveUp("rejected")
    if failure is Failure.BUG:
        return GiveUp("bug")
    if failure is Failure.OUTAGE:
        if policy.delays_s and elapsed_s < policy.outage_retry_limit_s:
            return Retry(policy.delays_s[min(failures, len(policy.delays_s)) - 1], is_outage=True)
        return GiveUp(f"still unavailable after {elapsed_s:.0f} s and {failures} attempts")
    if (counted := failures - outages) <= len(policy.delays_s):
        return Retry(policy.delays_s[counted - 1])
    return GiveUp(f"gave up after {failures} attempts")
