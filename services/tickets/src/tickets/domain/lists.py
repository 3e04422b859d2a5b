"""What lists can be asked for, and what they contain besides tickets."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Generic, TypeVar

from tickets.domain.spot_state import SpotCounts
from tickets.domain.tickets import Ticket, TicketStatus

T = TypeVar("T")

TICKET_SORT_KEYS = (
    "id",
    "entry_time",
    "exit_time",
    "plate_number",
    "plate_code",
    "plate_city",
    "plate_text",
    "confidence",
    "status",
    "spot_number",
    "camera_id",
    "location_id",
)
"""What tickets can be sorted by. By exit time, open tickets come after all others."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Which rows of a list: those after the cursor if there is one, else from `offset` on."""

    limit: int
    offset: int = 0
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class ListPage(Generic[T]):
    """A page of a list. `total` is None if it was not asked for; `next_cursor` is None on the last page."""

    items: Sequence[T]
    total: int | None
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class TicketFilter:
    """None: no condition. `entry_start` and `entry_end` are both included; one that is a day is that of the location.

    `search`, a part of the plate, `plate_number` and `plate_code` are as `plates.plate_pattern` returns them.
    """

    search: str | None = None
    camera_id: int | None = None
    spot_number: int | None = None
    plate_number: str | None = None
    plate_code: str | None = None
    plate_city: str | None = None
    entry_start: datetime | date | None = None
    entry_end: datetime | date | None = None
    status: TicketStatus | None = None
    # A location's number or code.
    location: str | None = None
    location_id: int | None = None


@dataclass(frozen=True, slots=True)
class IgnoredTriggerFilter:
    """None: no condition. `start` and `end` bound the trigger's time, as those of a `TicketFilter`."""

    camera_id: int | None = None
    spot_number: int | None = None
    # A location's number or code.
    location: str | None = None
    # The name of an `IgnoredReason`; another text matches nothing.
    reason: str | None = None
    start: datetime | date | None = None
    end: datetime | date | None = None


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera as it was named in its last trigger. ingest owns the registry."""

    camera_id: int
    name: str
    location_id: int
    location_code: str
    zone_code: str
    pole_code: str


@dataclass(frozen=True, slots=True)
class CameraOccupancy:
    """A camera, the number of its spots that have sent a trigger so far, and their open tickets."""

    camera: Camera
    known_spots: int
    counts: SpotCounts
    tickets: tuple[Ticket, ...]


@dataclass(frozen=True, slots=True)
class CameraTicketCount:
    camera_id: int
    camera_name: str
    open_count: int
    closed_count: int


@dataclass(frozen=True, slots=True)
class LocationCounts:
    """A location in numbers, as far as its cameras have sent triggers."""

    location_id: int
    location_code: str
    zones: int
    poles: int
    cameras: int
    spots: int
    spot_counts: SpotCounts
    tickets: int
    open_tickets: int
    reviews: int
    pending_reviews: int
