"""How a handler can fail, and what follows from it. Decisions only: the back ends carry them out."""

from dataclasses import dataclass
from enum import Enum

from sqlalchemy.exc import DisconnectionError

from kit import errors
from kit.db import database_fault

_NO_HURRY_S = 1  # a delivery's own policy says when it is repeated; this figure is not looked at


class Rejected(Exception):  # noqa: N818 - the field's word; it is an outcome
    """Raised by a handler: this event is bad input and no repeat can help. It is parked at once."""


class Transient(Exception):  # noqa: N818 - the field's word; it is an outcome
    """Raised by a handler: this event may succeed later. It is repeated, then parked."""


class Unroutable(Exception):  # noqa: N818 - the field's word; it is an outcome
    """No queue wants the event, so the broker would have dropped it."""


class HeldBack(Exception):  # noqa: N818 - the field's word; it is an outcome
    """Not published, because an earlier event of the same partition key in the same call was not."""


class Failure(Enum):
    """The kinds of failure. A dependency that is away is no fault of the event, so it is given more time."""

    REJECTED = "rejected"
    TRANSIENT = "transient"
    OUTAGE = "outage"
    BUG = "bug"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failed event is tried again: after each delay in turn; in an outage the last again and again."""

    delays_s: tuple[float, ...]
    outage_retry_limit_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class Again:
    """Try once more after so long."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class Park:
    """Set aside for a person, with this reason in front of the error's own text."""

    because: str


def classify(error: BaseException) -> Failure:
    """What kind of failure an exception from a handler is. What nobody foresaw is a bug."""
    match database_fault(error, retry_after_s=_NO_HURRY_S) or error:
        case Rejected():
            return Failure.REJECTED
        # Transactions that collide do so with their like, and not forever.
        case Transient() | TimeoutError() | errors.Unavailable(code="transaction_conflict"):
            return Failure.TRANSIENT
        case errors.UpstreamTimeout() | errors.UpstreamFailed() | errors.RateLimited():
            return Failure.TRANSIENT
        case errors.Unavailable() | errors.StorageFull() | DisconnectionError() | ConnectionError():
            return Failure.OUTAGE
        case errors.LookoutError(status=status) if status < errors.LookoutError.default_status:
            return Failure.REJECTED
        case _:
            return Failure.BUG


def next_step(policy: RetryPolicy, failure: Failure, failures: int, elapsed_s: float) -> Again | Park:
    """What to do after the `failures`-th failure (1 is the first), `elapsed_s` after the first one."""
    if failure is Failure.REJECTED:
        return Park("rejected")
    if failure is Failure.BUG:
        return Park("bug")
    if failure is Failure.OUTAGE:
        if policy.delays_s and elapsed_s < policy.outage_retry_limit_s:
            return Again(policy.delays_s[min(failures, len(policy.delays_s)) - 1])
        return Park(f"still unavailable after {elapsed_s:.0f} s and {failures} attempts")
    if failures <= len(policy.delays_s):
        return Again(policy.delays_s[failures - 1])
    return Park(f"gave up after {failures} attempts")
