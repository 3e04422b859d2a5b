"""What an event came to, in the words of the answer to a camera."""

from enum import StrEnum

from ingest.domain.parking_push import Purpose


class Outcome(StrEnum):
    """`status` of an answer. ACCEPTED: durable, and not decided yet."""

    ACCEPTED = "accepted"
    OPENED = "opened"
    REOPENED = "reopened"
    CLOSED = "closed"
    IGNORED = "ignored"
    STILL_OCCUPIED = "still_occupied"


_WORDS = {
    "OPENED": Outcome.OPENED,
    "REOPENED": Outcome.REOPENED,
    "CLOSED": Outcome.CLOSED,
    "IGNORED": Outcome.IGNORED,
}


def outcome_of(decision: str, purpose: Purpose, *, is_ticket_open: bool) -> Outcome:
    """The word for a decision, named as in `lookout.parking.v1.Decision` without its prefix.

    An exit that was ignored while the ticket stays open is the documented answer "still occupied".

    Raises:
        ValueError: no such decision.
    """
    if decision not in _WORDS:
        raise ValueError(f"unknown decision {decision}")
    outcome = _WORDS[decision]
    if outcome is Outcome.IGNORED and purpose is Purpose.EXIT and is_ticket_open:
        return Outcome.STILL_OCCUPIED
    return outcome
