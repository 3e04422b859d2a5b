"""What an event led to, in the words of the answer to a camera. Decided by tickets; ingest translates."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

OutcomeDocument = dict[str, Any]
"""The part of an answer that says what the event led to, as JSON; also how it is stored."""


class Outcome(StrEnum):
    """`status` of an answer. ACCEPTED: stored, and not decided yet."""

    ACCEPTED = "accepted"
    OPENED = "opened"
    REOPENED = "reopened"
    CLOSED = "closed"
    IGNORED = "ignored"
    STILL_OCCUPIED = "still_occupied"


@dataclass(frozen=True, slots=True)
class TicketPlate:
    """The plate of the ticket; `city` as operators name it, such as DXB."""

    text: str
    code: str
    number: str
    city: str
    region: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Decision:
    """What tickets decided about an event. `plate` is None where none was read."""

    event_id: UUID
    outcome: Outcome
    ticket_id: int | None
    review_id: int | None
    reason: str | None
    plate: TicketPlate | None
    decided_at: datetime

    def document(self) -> OutcomeDocument:
        """As it is answered and stored."""
        plate = self.plate
        return {
            "status": self.outcome.value,
            "ticket_id": self.ticket_id,
            "review_id": self.review_id,
            "reason": self.reason,
            "plate": {
                "text": plate.text,
                "code": plate.code,
                "number": plate.number,
                "city": plate.city,
                "region": plate.region,
                "confidence": plate.confidence,
            }
            if plate is not None
            else None,
            "decided_at": self.decided_at.isoformat(),
        }
