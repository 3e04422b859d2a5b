"""The JSON of the REST API. Field names and texts are part of its contract."""

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from tickets.domain.lists import CameraOccupancy, LocationCounts
from tickets.domain.local_time import zone_of
from tickets.domain.plates import UNKNOWN, Plate
from tickets.domain.sessions import REASON_TEXTS
from tickets.domain.tickets import IgnoredTrigger, Review, Ticket


class TicketOut(BaseModel):
    """A parking session. Times are UTC; those named local are in the location's time zone, with its offset."""

    id: int
    status: Literal["OPEN", "CLOSED"]
    plate_number: str = Field(
        description="the whole text of a plate without a separate number; UNKNOWN if not read"
    )
    plate_code: str
    plate_city: str = Field(description="DXB, AUH, SHJ, AJM, UAQ, RAK, FUJ, or the region in upper case")
    plate_text: str = Field(description="code and number together; UNKNOWN if not read")
    region: str = Field(description="ISO 3166, lower case; empty if not known")
    confidence: int = Field(description="of the read, 0 to 99; 0 if the plate is not known")
    is_unknown: bool
    location_id: int
    location_code: str
    zone_code: str
    pole_code: str
    camera_id: int
    camera_name: str
    spot_id: int
    spot_number: int
    entry_time: str
    exit_time: str | None
    entry_time_local: str
    exit_time_local: str | None
    time_zone: str
    duration_s: int = Field(description="seconds from entry to exit, or until now")
    reopened_count: int = Field(
        description="how often the ticket was reopened because the same car came back soon"
    )
    review_id: int | None
    has_image: bool
    has_exit_image: bool
    has_plate_image: bool
    is_picture_incomplete: bool = Field(
        description="the entry snapshot is a JPEG whose end is missing; the plate was read as far as it goes"
    )


class CharacterOut(BaseModel):
    """One character of a plate; confidence 0 to 99."""

    text: str
    confidence: int


class TicketDetailOut(TicketOut):
    """A ticket with its details."""

    characters: list[CharacterOut]
    raw_text: str = Field(description="the read before the grammar was applied")
    earlier_exit_times: list[str]
    exit_image_state: Literal["PENDING", "MARKED", "PLAIN"] | None = Field(
        description="whether the spot is outlined in the exit image; PLAIN: it cannot be, see the note"
    )
    exit_image_note: str
    entry_frame_id: str
    exit_frame_id: str | None
    notes: list[str]


class ReviewOut(BaseModel):
    """A plate that a person has to read. `guess_…` is the read that did not count."""

    id: int
    status: Literal["PENDING", "RESOLVED"]
    reason: str
    ticket_id: int
    ticket_status: Literal["OPEN", "CLOSED"]
    location_id: int
    location_code: str
    camera_id: int
    camera_name: str
    spot_number: int
    entry_time: str
    exit_time: str | None
    guess_text: str
    guess_code: str
    guess_number: str
    guess_city: str
    guess_confidence: int
    requested_at: str
    resolved_at: str | None
    resolved_by: str | None
    has_image: bool
    has_plate_image: bool
    is_picture_incomplete: bool = Field(description="its snapshot is a JPEG whose end is missing")


class IgnoredTriggerOut(BaseModel):
    """An entry or exit that changed no ticket, and why."""

    id: int
    purpose: Literal["ENTRY", "EXIT"]
    reason: str
    location_id: int
    location_code: str
    camera_id: int
    camera_name: str
    spot_id: int
    spot_number: int
    time: str = Field(
        description="when it happened: the camera's time, or that of receipt if its clock is implausible"
    )
    time_local: str
    captured_at: str | None
    received_at: str
    decided_at: str
    plate_text: str
    plate_confidence: int
    occupancy: Literal["OCCUPIED", "FREE", "UNKNOWN"]
    picture_source: str
    picture_note: str
    failure: str
    ticket_id: int | None = Field(description="the ticket that it left unchanged")
    frame_id: str
    notes: list[str]
    has_image: bool
    is_picture_incomplete: bool = Field(description="its picture is a JPEG whose end is missing")


class OccupiedSpotOut(BaseModel):
    """A spot with an open ticket."""

    spot_number: int
    spot_id: int
    ticket_id: int
    plate_text: str
    plate_number: str
    plate_code: str
    plate_city: str
    is_unknown: bool
    since: str
    since_local: str
    duration_s: int


class CameraOccupancyOut(BaseModel):
    """A camera and its occupied spots."""

    camera_id: int
    camera_name: str
    location_id: int
    location_code: str
    zone_code: str
    pole_code: str
    known_spots: int = Field(description="spots that have sent an entry or exit so far")
    total_count: int = Field(
        description="spots: `number_of_parking` as it was at the last entry or exit, or known_spots if that is more"
    )
    occupied_count: int
    free_count: int = Field(description="spots whose last entry or exit left them free")
    unknown_count: int = Field(
        description="the others: spots that never sent an entry or exit, or whose last one contradicts its picture"
    )
    occupied: list[OccupiedSpotOut]


class LocationStatsOut(BaseModel):
    """A location in numbers, as far as its cameras have sent entries or exits."""

    location_id: int
    location_code: str
    zones: int
    poles: int
    cameras: int
    spots: int
    total_spots: int = Field(description="of all cameras; for each the count that /camera-occupancy shows")
    occupied_spots: int
    free_spots: int
    unknown_spots: int
    tickets: int
    open_tickets: int
    manual_reviews: int
    pending_manual_reviews: int


def ticket_out(ticket: Ticket, now: datetime) -> TicketOut:
    """A ticket in a list."""
    return TicketOut(**_ticket_fields(ticket, now))


def ticket_detail_out(ticket: Ticket, now: datetime) -> TicketDetailOut:
    """A ticket on its own page."""
    plate = ticket.plate
    return TicketDetailOut(
        **_ticket_fields(ticket, now),
        characters=[
            CharacterOut(text=c.text, confidence=percent(c.confidence))
            for c in (plate.characters if plate is not None else ())
        ],
        raw_text=plate.raw_text if plate is not None else "",
        earlier_exit_times=[utc(moment) for moment in ticket.earlier_exits],
        exit_image_state=ticket.outline_state.value if ticket.outline_state is not None else None,
        exit_image_note=ticket.outline_note,
        entry_frame_id=str(ticket.entry_frame_id),
        exit_frame_id=str(ticket.exit_frame_id) if ticket.exit_frame_id is not None else None,
        notes=list(ticket.notes),
    )


def _ticket_fields(ticket: Ticket, now: datetime) -> dict[str, Any]:
    address, exit_at = ticket.address, ticket.exit_at
    return {
        **_plate_fields(ticket.plate),
        "id": ticket.ticket_id,
        "status": ticket.status.value,
        "region": ticket.plate.region if ticket.plate is not None else "",
        "confidence": percent(ticket.plate.confidence) if ticket.plate is not None else 0,
        "is_unknown": ticket.is_unknown,
        "location_id": address.location_id,
        "location_code": address.location_code,
        "zone_code": address.zone_code,
        "pole_code": address.pole_code,
        "camera_id": address.camera_id,
        "camera_name": address.camera_name,
        "spot_id": address.spot_id,
        "spot_number": address.spot_number,
        "entry_time": utc(ticket.entry_at),
        "exit_time": utc(exit_at) if exit_at is not None else None,
        "entry_time_local": local(ticket.entry_at, address.time_zone),
        "exit_time_local": local(exit_at, address.time_zone) if exit_at is not None else None,
        "time_zone": address.time_zone,
        "duration_s": max(0, int(((exit_at or now) - ticket.entry_at).total_seconds())),
        "reopened_count": len(ticket.earlier_exits),
        "review_id": ticket.review_id,
        "has_image": ticket.entry_picture is not None,
        "has_exit_image": ticket.exit_picture is not None,
        "has_plate_image": ticket.entry_plate is not None and ticket.entry_plate.crop is not None,
        "is_picture_incomplete": ticket.is_picture_incomplete,
    }


def _plate_fields(plate: Plate | None) -> dict[str, Any]:
    return {
        "plate_text": plate.text if plate is not None else UNKNOWN,
        "plate_number": plate.full_number if plate is not None else UNKNOWN,
        "plate_code": plate.code if plate is not None else "",
        "plate_city": plate.city if plate is not None else "",
    }


def review_out(review: Review, ticket: Ticket) -> ReviewOut:
    """A review, with place and time of its ticket."""
    guess = review.guess or Plate("")
    return ReviewOut(
        id=review.review_id,
        status=review.status.value,
        reason=review.reason.value,
        ticket_id=ticket.ticket_id,
        ticket_status=ticket.status.value,
        location_id=ticket.address.location_id,
        location_code=ticket.address.location_code,
        camera_id=ticket.address.camera_id,
        camera_name=ticket.address.camera_name,
        spot_number=ticket.address.spot_number,
        entry_time=utc(ticket.entry_at),
        exit_time=utc(ticket.exit_at) if ticket.exit_at is not None else None,
        guess_text=guess.text,
        guess_code=guess.code,
        guess_number=guess.full_number,
        guess_city=guess.city,
        guess_confidence=percent(guess.confidence),
        requested_at=utc(review.requested_at),
        resolved_at=utc(review.resolved_at) if review.resolved_at is not None else None,
        resolved_by=review.resolved_by,
        has_image=review.picture is not None,
        has_plate_image=guess.crop is not None,
        is_picture_incomplete=ticket.is_picture_incomplete,
    )


def ignored_trigger_out(ignored: IgnoredTrigger) -> IgnoredTriggerOut:
    """An ignored trigger, its reason in words."""
    received, decision = ignored.received, ignored.decision
    trigger, address, plate = received.trigger, received.address, received.trigger.plate
    return IgnoredTriggerOut(
        id=ignored.trigger_id,
        purpose=trigger.kind.value,
        reason=REASON_TEXTS[decision.reason] if decision.reason is not None else "",
        location_id=address.location_id,
        location_code=address.location_code,
        camera_id=address.camera_id,
        camera_name=address.camera_name,
        spot_id=address.spot_id,
        spot_number=address.spot_number,
        time=utc(trigger.at),
        time_local=local(trigger.at, address.time_zone),
        captured_at=utc(received.captured_at) if received.captured_at is not None else None,
        received_at=utc(received.received_at),
        decided_at=utc(decision.decided_at),
        plate_text=plate.text if plate is not None else "",
        plate_confidence=percent(plate.confidence) if plate is not None else 0,
        occupancy=trigger.occupancy.value,
        picture_source=trigger.picture_source.value,
        picture_note=received.picture_note,
        failure=trigger.failure,
        ticket_id=decision.ticket_id,
        frame_id=str(trigger.frame_id),
        notes=list(decision.notes),
        has_image=received.picture is not None,
        is_picture_incomplete=received.is_picture_incomplete,
    )


def camera_occupancy_out(occupancy: CameraOccupancy, now: datetime) -> CameraOccupancyOut:
    """A camera with its occupied spots, by spot number."""
    camera = occupancy.camera
    return CameraOccupancyOut(
        camera_id=camera.camera_id,
        camera_name=camera.name,
        location_id=camera.location_id,
        location_code=camera.location_code,
        zone_code=camera.zone_code,
        pole_code=camera.pole_code,
        known_spots=occupancy.known_spots,
        total_count=occupancy.counts.total,
        occupied_count=len(occupancy.tickets),
        free_count=occupancy.counts.free,
        unknown_count=occupancy.counts.unknown,
        occupied=[_occupied_spot_out(ticket, now) for ticket in occupancy.tickets],
    )


def _occupied_spot_out(ticket: Ticket, now: datetime) -> OccupiedSpotOut:
    return OccupiedSpotOut(
        **_plate_fields(ticket.plate),
        spot_number=ticket.address.spot_number,
        spot_id=ticket.address.spot_id,
        ticket_id=ticket.ticket_id,
        is_unknown=ticket.is_unknown,
        since=utc(ticket.entry_at),
        since_local=local(ticket.entry_at, ticket.address.time_zone),
        duration_s=max(0, int((now - ticket.entry_at).total_seconds())),
    )


def location_stats_out(counts: LocationCounts) -> LocationStatsOut:
    """A location in numbers."""
    return LocationStatsOut(
        location_id=counts.location_id,
        location_code=counts.location_code,
        zones=counts.zones,
        poles=counts.poles,
        cameras=counts.cameras,
        spots=counts.spots,
        total_spots=counts.spot_counts.total,
        occupied_spots=counts.spot_counts.occupied,
        free_spots=counts.spot_counts.free,
        unknown_spots=counts.spot_counts.unknown,
        tickets=counts.tickets,
        open_tickets=counts.open_tickets,
        manual_reviews=counts.reviews,
        pending_manual_reviews=counts.pending_reviews,
    )


def percent(share: float) -> int:
    """A confidence of 0 to 1 as the API shows it: 0 to 99, since no read is certain."""
    return min(round(share * 100), 99)


def utc(moment: datetime) -> str:
    """ISO 8601 with Z."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def local(moment: datetime, time_zone: str) -> str:
    """ISO 8601 with the zone's offset; UTC if the zone is unknown."""
    return moment.astimezone(zone_of(time_zone)).isoformat()
