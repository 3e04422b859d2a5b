"""Tickets, reviews, and the triggers that lead to them, as they are stored."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from tickets.domain.plates import Picture, Plate
from tickets.domain.sessions import DecisionKind, IgnoredReason, ReviewReason, Session
from tickets.domain.triggers import Trigger

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class SpotAddress:
    """Where a spot is, in the ids and names that came with the frame. `time_zone` is an IANA name."""

    location_id: int
    location_code: str
    zone_id: int
    zone_code: str
    pole_id: int
    pole_code: str
    camera_id: int
    camera_name: str
    camera_api_code: str
    spot_id: int
    spot_number: int
    time_zone: str


@dataclass(frozen=True, slots=True)
class ReceivedTrigger:
    """A trigger with the data that is stored with it.

    captured_at: the time by the camera's own clock, however wrong; None if it sent none.
    picture_note: why the picture is not the wanted one; empty if it is.
    spot_polygon_px: the spot's outline in pixels of the picture; empty if it is not known.
    is_picture_incomplete: the picture is a JPEG whose end is missing; it was read as far as it goes.
    number_of_parking: spots that the camera is registered to watch; 0 if that is not set.
    """

    trigger: Trigger
    address: SpotAddress
    captured_at: datetime | None
    received_at: datetime
    picture: Picture | None
    picture_note: str
    spot_polygon_px: tuple[Point, ...]
    is_picture_incomplete: bool = False
    number_of_parking: int = 0


@dataclass(frozen=True, slots=True)
class TriggerDecision:
    """The decision about a trigger as it is stored with it. `ticket_id` is None if no ticket is concerned."""

    kind: DecisionKind
    reason: IgnoredReason | None
    ticket_id: int | None
    is_waiting: bool
    notes: tuple[str, ...]
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class IgnoredTrigger:
    """A stored trigger that changed no ticket."""

    trigger_id: int
    received: ReceivedTrigger
    decision: TriggerDecision


class TicketStatus(StrEnum):
    OPEN = "OPEN"
    CLOSED = "CLOSED"


class OutlineState(StrEnum):
    """Whether the spot is outlined in the exit picture. It is drawn after the ticket has closed."""

    PENDING = "PENDING"
    MARKED = "MARKED"
    # It cannot be drawn: the picture stays as it was received, and the note says why.
    PLAIN = "PLAIN"


@dataclass(frozen=True, slots=True)
class Ticket:
    """A session as it is stored. `ticket_id` is 0 until the database has given one."""

    ticket_id: int
    address: SpotAddress
    # The plate as read at the entry, with any confidence; None if none was found.
    entry_plate: Plate | None
    is_unknown: bool
    entry_at: datetime
    entry_frame_id: UUID
    entry_picture: Picture | None
    # The entry picture is a JPEG whose end is missing; it was read as far as it goes.
    is_picture_incomplete: bool = False
    exit_at: datetime | None = None
    exit_frame_id: UUID | None = None
    exit_picture: Picture | None = None
    exit_polygon_px: tuple[Point, ...] = ()
    outline_state: OutlineState | None = None
    outline_note: str = ""
    resumed_at: datetime | None = None
    # The exits that reopenings took back, oldest first.
    earlier_exits: tuple[datetime, ...] = ()
    review_id: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def status(self) -> TicketStatus:
        return TicketStatus.OPEN if self.exit_at is None else TicketStatus.CLOSED

    @property
    def plate(self) -> Plate | None:
        """The plate, if it was read with enough confidence to count."""
        return None if self.is_unknown else self.entry_plate

    @property
    def session(self) -> Session:
        """The part that the session rules need."""
        return Session(self.entry_frame_id, self.entry_at, self.plate, self.exit_at, self.resumed_at)


class ReviewStatus(StrEnum):
    PENDING = "PENDING"
    RESOLVED = "RESOLVED"


@dataclass(frozen=True, slots=True)
class Review:
    """The question to a person what a ticket's plate is; `guess` is the read that did not count."""

    review_id: int
    ticket_id: int
    reason: ReviewReason
    status: ReviewStatus
    frame_id: UUID
    guess: Plate | None
    picture: Picture | None
    requested_at: datetime
    resolved_at: datetime | None = None
    resolved_by: str | None = None


class CannotOutline(Exception):  # noqa: N818 - named after what it says about the picture
    """The spot cannot be drawn into a picture; the text says why."""
