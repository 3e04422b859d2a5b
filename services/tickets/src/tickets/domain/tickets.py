"""What is kept of a session, and of the triggers that made it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from tickets.domain.plates import Picture, Plate
from tickets.domain.sessions import ReviewReason, Session
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
class Report:
    """A trigger with all that came with it. `polygon_px` is the spot in pixels of the picture.

    body: the message it was read from, so that a trigger that waits loses nothing.
    """

    trigger: Trigger
    address: SpotAddress
    captured_at: datetime | None
    received_at: datetime
    picture: Picture | None
    picture_note: str
    polygon_px: tuple[Point, ...]
    body: bytes


class TicketStatus(StrEnum):
    OPEN = "OPEN"
    CLOSED = "CLOSED"


class MarkState(StrEnum):
    """How far the exit picture is: the spot is outlined in it after the ticket has closed."""

    PENDING = "PENDING"
    MARKED = "MARKED"
    # It could not be drawn in and stays as it came; the note says why.
    PLAIN = "PLAIN"


@dataclass(frozen=True, slots=True)
class Ticket:
    """A session as it is stored. `ticket_id` is 0 until the store has given one."""

    ticket_id: int
    address: SpotAddress
    # What was seen of the plate at the entry, however badly; None when nothing was.
    seen: Plate | None
    is_unknown: bool
    entry_at: datetime
    entry_frame_id: UUID
    entry_picture: Picture | None
    exit_at: datetime | None = None
    exit_frame_id: UUID | None = None
    exit_picture: Picture | None = None
    exit_polygon_px: tuple[Point, ...] = ()
    mark_state: MarkState | None = None
    mark_note: str = ""
    resumed_at: datetime | None = None
    # When it had ended before it went on, oldest first.
    earlier_exits: tuple[datetime, ...] = ()
    review_id: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def status(self) -> TicketStatus:
        return TicketStatus.OPEN if self.exit_at is None else TicketStatus.CLOSED

    @property
    def plate(self) -> Plate | None:
        """The plate, where it was read well enough to count."""
        return None if self.is_unknown else self.seen

    @property
    def session(self) -> Session:
        """The part of it that the rules look at."""
        return Session(self.entry_frame_id, self.entry_at, self.plate, self.exit_at, self.resumed_at)


class ReviewStatus(StrEnum):
    PENDING = "PENDING"
    RESOLVED = "RESOLVED"


@dataclass(frozen=True, slots=True)
class Review:
    """A person is asked what stands on the plate; `guess` is the reading that did not count."""

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
