"""Rows to values and back."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.engine import RowMapping

from tickets.domain.plates import UNKNOWN, Character, Picture, Plate
from tickets.domain.sessions import ReviewReason
from tickets.domain.tickets import MarkState, Point, Report, Review, ReviewStatus, SpotAddress, Ticket

_ADDRESS_FIELDS = tuple(field.name for field in fields(SpotAddress))


def picture_document(picture: Picture | None) -> dict[str, Any] | None:
    """A picture's reference as JSON."""
    if picture is None:
        return None
    # Spelt out: `dataclasses.asdict` copies deeply, and took a tenth of a decision's time.
    return {
        "key": picture.key,
        "content_type": picture.content_type,
        "size_bytes": picture.size_bytes,
        "sha256": picture.sha256,
        "width_px": picture.width_px,
        "height_px": picture.height_px,
    }


def picture_from(document: Mapping[str, Any] | None) -> Picture | None:
    """The inverse of `picture_document`."""
    return None if document is None else Picture(**document)


def plate_document(plate: Plate | None) -> dict[str, Any] | None:
    """A reading as JSON, with all that is known of it."""
    if plate is None:
        return None
    return {
        "text": plate.text,
        "region": plate.region,
        "code": plate.code,
        "number": plate.number,
        "confidence": plate.confidence,
        "characters": [{"text": c.text, "confidence": c.confidence} for c in plate.characters],
        "box_px": plate.box_px,
        "crop": picture_document(plate.crop),
        "raw_text": plate.raw_text,
    }


def plate_from(document: Mapping[str, Any] | None) -> Plate | None:
    """The inverse of `plate_document`."""
    if document is None:
        return None
    box = document["box_px"]
    return Plate(
        **{
            **document,
            "characters": tuple(Character(**character) for character in document["characters"]),
            "box_px": None if box is None else (box[0], box[1], box[2], box[3]),
            "crop": picture_from(document["crop"]),
        }
    )


def polygon_from(document: list[list[float]] | None) -> tuple[Point, ...]:
    """Corners as they are stored: a list of [x, y]."""
    return tuple((x, y) for x, y in document or ())


def address_values(address: SpotAddress) -> dict[str, Any]:
    """The columns of an address."""
    return {name: getattr(address, name) for name in _ADDRESS_FIELDS}


def address_from(row: RowMapping) -> SpotAddress:
    """The inverse of `address_values`."""
    return SpotAddress(**{name: row[name] for name in _ADDRESS_FIELDS})


def ticket_values(ticket: Ticket) -> dict[str, Any]:
    """The columns of a ticket, its number aside."""
    return {
        **address_values(ticket.address),
        **_plate_values(ticket.plate),
        "is_unknown": ticket.is_unknown,
        "seen": plate_document(ticket.seen),
        "entry_at": ticket.entry_at,
        "entry_frame_id": ticket.entry_frame_id,
        "entry_picture": picture_document(ticket.entry_picture),
        **state_values(ticket),
    }


def state_values(ticket: Ticket) -> dict[str, Any]:
    """The columns of a ticket that a trigger may change after it was opened."""
    return {
        "status": ticket.status.value,
        "exit_at": ticket.exit_at,
        "exit_frame_id": ticket.exit_frame_id,
        "exit_picture": picture_document(ticket.exit_picture),
        "exit_polygon_px": [list(point) for point in ticket.exit_polygon_px],
        "mark_state": None if ticket.mark_state is None else ticket.mark_state.value,
        "mark_note": ticket.mark_note,
        "resumed_at": ticket.resumed_at,
        "earlier_exits": [moment.isoformat() for moment in ticket.earlier_exits],
        "notes": list(ticket.notes),
    }


def _plate_values(plate: Plate | None) -> dict[str, Any]:
    if plate is None:
        return {
            "plate_text": UNKNOWN,
            "plate_number": UNKNOWN,
            "plate_code": "",
            "plate_city": "",
            "region": "",
            "confidence": 0.0,
        }
    return {
        "plate_text": plate.text,
        "plate_number": plate.full_number,
        "plate_code": plate.code,
        "plate_city": plate.city,
        "region": plate.region,
        "confidence": plate.confidence,
    }


def ticket_from(row: RowMapping) -> Ticket:
    """A row of `TICKET_ROWS`."""
    return Ticket(
        ticket_id=row["ticket_id"],
        address=address_from(row),
        seen=plate_from(row["seen"]),
        is_unknown=row["is_unknown"],
        entry_at=row["entry_at"],
        entry_frame_id=row["entry_frame_id"],
        entry_picture=picture_from(row["entry_picture"]),
        exit_at=row["exit_at"],
        exit_frame_id=row["exit_frame_id"],
        exit_picture=picture_from(row["exit_picture"]),
        exit_polygon_px=polygon_from(row["exit_polygon_px"]),
        mark_state=None if row["mark_state"] is None else MarkState(row["mark_state"]),
        mark_note=row["mark_note"],
        resumed_at=row["resumed_at"],
        earlier_exits=tuple(datetime.fromisoformat(moment) for moment in row["earlier_exits"]),
        review_id=row["review_id"],
        notes=tuple(row["notes"]),
    )


def review_from(row: RowMapping) -> Review:
    """A row of the reviews table."""
    return Review(
        review_id=row["review_id"],
        ticket_id=row["ticket_id"],
        reason=ReviewReason(row["reason"]),
        status=ReviewStatus(row["status"]),
        frame_id=UUID(str(row["frame_id"])),
        guess=plate_from(row["guess"]),
        picture=picture_from(row["picture"]),
        requested_at=row["requested_at"],
        resolved_at=row["resolved_at"],
        resolved_by=row["resolved_by"],
    )


def trigger_values(report: Report) -> dict[str, Any]:
    """The columns that say what came; those that say what was decided are the handler's."""
    trigger = report.trigger
    return {
        "frame_id": trigger.frame_id,
        "purpose": trigger.kind.value,
        **address_values(report.address),
        "at": trigger.at,
        "captured_at": report.captured_at,
        "received_at": report.received_at,
        "plate_text": trigger.plate.text if trigger.plate is not None else "",
        "plate": plate_document(trigger.plate),
        "occupancy": trigger.occupancy.value,
        "picture": picture_document(report.picture),
        "picture_source": trigger.picture_source.value,
        "picture_note": report.picture_note,
        "failure": trigger.failure,
    }
