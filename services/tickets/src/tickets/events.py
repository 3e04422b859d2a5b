"""What the service tells the others, as bus events."""

from datetime import datetime
from uuid import UUID

from google.protobuf.message import Message

from kit.bus import Event, EventSource
from kit.ids import derived_id
from lookout.parking.v1 import parking_pb2 as parking
from tickets.domain.sessions import (
    Closed,
    Decision,
    Ignored,
    IgnoredReason,
    Opened,
    Reopened,
    ReviewReason,
    TriggerOutcome,
    outcome_of,
)
from tickets.domain.tickets import Report, Review, Ticket
from tickets.messages import ticket_message, timestamp

EVENTS = EventSource(
    "tickets", parking.TicketOpened, parking.TicketClosed, parking.ReviewRequested, parking.TriggerDecided
)
"""All that tickets publishes."""

_DECISIONS = {
    Opened: parking.DECISION_OPENED,
    Reopened: parking.DECISION_REOPENED,
    Closed: parking.DECISION_CLOSED,
    Ignored: parking.DECISION_IGNORED,
}
_OUTCOMES = {
    TriggerOutcome.OPENED: parking.TRIGGER_OUTCOME_OPENED,
    TriggerOutcome.REOPENED: parking.TRIGGER_OUTCOME_REOPENED,
    TriggerOutcome.CLOSED: parking.TRIGGER_OUTCOME_CLOSED,
    TriggerOutcome.IGNORED: parking.TRIGGER_OUTCOME_IGNORED,
    TriggerOutcome.STILL_OCCUPIED: parking.TRIGGER_OUTCOME_STILL_OCCUPIED,
}
_IGNORED_REASONS = {
    IgnoredReason.SPOT_ALREADY_OCCUPIED: parking.IGNORED_REASON_SPOT_ALREADY_OCCUPIED,
    IgnoredReason.NO_CAR_DETECTED: parking.IGNORED_REASON_NO_CAR_DETECTED,
    IgnoredReason.SPOT_STILL_OCCUPIED: parking.IGNORED_REASON_SPOT_STILL_OCCUPIED,
    IgnoredReason.NO_OPEN_TICKET: parking.IGNORED_REASON_NO_OPEN_TICKET,
    IgnoredReason.OLDER_THAN_LATEST_TICKET: parking.IGNORED_REASON_OLDER_THAN_LATEST_TICKET,
}
_REVIEW_REASONS = {
    ReviewReason.UNREAD_PLATE: parking.REVIEW_REASON_UNREAD_PLATE,
    ReviewReason.LOW_CONFIDENCE: parking.REVIEW_REASON_LOW_CONFIDENCE,
    ReviewReason.UNREADABLE_PICTURE: parking.REVIEW_REASON_UNREADABLE_PICTURE,
}


def events_of(
    decision: Decision,
    report: Report,
    ticket: Ticket | None,
    review: Review | None,
    *,
    cause: UUID,
    decided_at: datetime,
) -> list[Event]:
    """The events of one decision, in the order in which readers should see them.

    `cause` is the message that brought the decision about. The events' ids are derived from it, so that they
    stay the same when the message is handled anew after its inbox row was swept.
    """
    ticket_part = ticket_message(ticket) if ticket is not None else None
    messages: list[tuple[str, Message]] = []
    match decision:
        case Opened() | Reopened():
            is_reopened = isinstance(decision, Reopened)
            opened = parking.TicketOpened(ticket=ticket_part, is_reopened=is_reopened)
            messages.append(("ticket_opened", opened))
        case Closed():
            messages.append(("ticket_closed", parking.TicketClosed(ticket=ticket_part)))
        case Ignored():
            pass
    if isinstance(decision, Opened) and review is not None:
        requested = parking.ReviewRequested(
            review_id=review.review_id,
            ticket=ticket_part,
            reason=review.reason.value,
            requested_at=timestamp(review.requested_at),
            review_reason=_REVIEW_REASONS[review.reason],
        )
        messages.append(("review_requested", requested))
    decided = parking.TriggerDecided(
        frame_id=str(report.trigger.frame_id),
        decision=_DECISIONS[type(decision)],
        reason=decision.reason.value if isinstance(decision, Ignored) else "",
        ticket=ticket_part,
        review_id=ticket.review_id or 0 if ticket is not None else 0,
        decided_at=timestamp(decided_at),
        outcome=_OUTCOMES[outcome_of(decision)],
        ignored_reason=_ignored_reason(decision),
    )
    messages.append(("trigger_decided", decided))
    return [_event(name, message, report, cause, decided_at) for name, message in messages]


def _ignored_reason(decision: Decision) -> parking.IgnoredReason.ValueType:
    if isinstance(decision, Ignored):
        return _IGNORED_REASONS[decision.reason]
    return parking.IGNORED_REASON_UNSPECIFIED


def _event(name: str, message: Message, report: Report, cause: UUID, decided_at: datetime) -> Event:
    address, frame_id = report.address, report.trigger.frame_id
    return EVENTS.event(
        message,
        scope=(address.location_code, address.camera_api_code),
        partition_key=f"camera:{address.camera_id}",
        occurred_at=decided_at,
        correlation_id=str(frame_id),
        # The frame is in it too: one message may decide others that waited for it.
        message_id=derived_id(cause, f"{name}:{frame_id}"),
    )
