"""What the service tells the others, as bus events."""

from datetime import datetime
from uuid import UUID

from google.protobuf.message import Message

from kit.bus import Event, routing_key
from kit.ids import derived_id
from lookout.parking.v1 import parking_pb2 as parking
from tickets.domain.sessions import Closed, Decision, Ignored, Opened, Reopened
from tickets.domain.tickets import Report, Review, Ticket
from tickets.messages import ticket_message, timestamp

APP_ID = "tickets"

_DECISIONS = {
    Opened: parking.DECISION_OPENED,
    Reopened: parking.DECISION_REOPENED,
    Closed: parking.DECISION_CLOSED,
    Ignored: parking.DECISION_IGNORED,
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
        )
        messages.append(("review_requested", requested))
    decided = parking.TriggerDecided(
        frame_id=str(report.trigger.frame_id),
        decision=_DECISIONS[type(decision)],
        reason=decision.reason.value if isinstance(decision, Ignored) else "",
        ticket=ticket_part,
        review_id=ticket.review_id or 0 if ticket is not None else 0,
        decided_at=timestamp(decided_at),
    )
    messages.append(("trigger_decided", decided))
    return [_event(name, message, report, cause, decided_at) for name, message in messages]


def _event(name: str, message: Message, report: Report, cause: UUID, decided_at: datetime) -> Event:
    address, frame_id = report.address, report.trigger.frame_id
    return Event.of(
        message,
        routing_key=routing_key(f"parking.{name}.v1", address.location_code, address.camera_api_code),
        partition_key=f"camera:{address.camera_id}",
        app_id=APP_ID,
        occurred_at=decided_at,
        correlation_id=str(frame_id),
        # The frame is in it too: one message may decide others that waited for it.
        message_id=derived_id(cause, f"{name}:{frame_id}"),
        # Listeners come and go; a site may run without any.
        must_route=False,
    )
