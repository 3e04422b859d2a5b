"""Rows to domain values and back."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.engine import RowMapping

from tickets.domain.plates import UNKNOWN, Character, Picture, Plate
from tickets.domain.sessions import DecisionKind, IgnoredReason, ReviewReason
from tickets.domain.tickets import (
    IgnoredTrigger,
    OutlineState,
    Point,
    ReceivedTrigger,
    Review,
    ReviewStatus,
    SpotAddress,
    Ticket,
    TriggerDecision,
)
from tickets.domain.triggers import Occupancy, PictureSource, Trigger, TriggerKind

_ADDRESS_FIELDS = tuple(field.name for field in fields(SpotAddress))


def picture_document(picture: Picture | None) -> dict[str, Any] | None:
    """A picture's reference as JSON."""
    if picture is None:
        return None
    # Not `dataclasses.asdict`: it copies deeply, which took a tenth of the time of a decision.
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
    """A plate as JSON."""
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


def polygon_document(polygon_px: tuple[Point, ...]) -> list[list[float]]:
    """A polygon as JSON: a list of [x, y]."""
    return [list(point) for point in polygon_px]


def polygon_from(document: list[list[float]] | None) -> tuple[Point, ...]:
    """The inverse of `polygon_document`."""
    return tuple((x, y) for x, y in document or ())


def address_values(address: SpotAddress) -> dict[str, Any]:
    """The columns of an address."""
    return {name: getattr(address, name) for name in _ADDRESS_FIELDS}


def address_from(row: RowMapping) -> SpotAddress:
    """The inverse of `address_values`."""
    return SpotAddress(**{name: row[name] for name in _ADDRESS_FIELDS})


def ticket_values(ticket: Ticket) -> dict[str, Any]:
    """The columns of a ticket except its number."""
    return {
        **address_values(ticket.address),
        **_plate_values(ticket.plate),
        "is_unknown": ticket.is_unknown,
        "seen": plate_document(ticket.entry_plate),
        "entry_at": ticket.entry_at,
        "entry_frame_id": ticket.entry_frame_id,
        "entry_picture": picture_document(ticket.entry_picture),
        "is_picture_incomplete": ticket.is_picture_incomplete,
        **state_values(ticket),
    }


def state_values(ticket: Ticket) -> dict[str, Any]:
    """The columns of a ticket that later triggers may change."""
    return {
        "status": ticket.status.value,
        "exit_at": ticket.exit_at,
        "exit_frame_id": ticket.exit_frame_id,
        "exit_picture": picture_document(ticket.exit_picture),
        "exit_polygon_px": polygon_document(ticket.exit_polygon_px),
        "mark_state": None if ticket.outline_state is None else ticket.outline_state.value,
        "mark_note": ticket.outline_note,
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
        entry_plate=plate_from(row["seen"]),
        is_unknown=row["is_unknown"],
        entry_at=row["entry_at"],
        entry_frame_id=row["entry_frame_id"],
        entry_picture=picture_from(row["entry_picture"]),
        is_picture_incomplete=row["is_picture_incomplete"],
        exit_at=row["exit_at"],
        exit_frame_id=row["exit_frame_id"],
        exit_picture=picture_from(row["exit_picture"]),
        exit_polygon_px=polygon_from(row["exit_polygon_px"]),
        outline_state=None if row["mark_state"] is None else OutlineState(row["mark_state"]),
        outline_note=row["mark_note"],
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


def trigger_values(received: ReceivedTrigger, decision: TriggerDecision) -> dict[str, Any]:
    """The columns of a trigger except its number."""
    trigger = received.trigger
    return {
        "frame_id": trigger.frame_id,
        "purpose": trigger.kind.value,
        **address_values(received.address),
        "at": trigger.at,
        "captured_at": received.captured_at,
        "received_at": received.received_at,
        "plate_text": trigger.plate.text if trigger.plate is not None else "",
        "plate": plate_document(trigger.plate),
        "occupancy": trigger.occupancy.value,
        "is_vehicle_seen": trigger.is_vehicle_seen,
        "picture": picture_document(received.picture),
        "picture_source": trigger.picture_source.value,
        "picture_note": received.picture_note,
        "is_picture_incomplete": received.is_picture_incomplete,
        "failure": trigger.failure,
        "trigger_notes": list(trigger.notes),
        "spot_polygon_px": polygon_document(received.spot_polygon_px),
        **decision_values(decision),
    }


def decision_values(decision: TriggerDecision) -> dict[str, Any]:
    """The columns of a trigger that another decision about it changes."""
    return {
        "decision": decision.kind.value,
        "reason": decision.reason.value if decision.reason is not None else "",
        "ticket_id": decision.ticket_id,
        "is_waiting": decision.is_waiting,
        "notes": list(decision.notes),
        "decided_at": decision.decided_at,
    }


def received_trigger_from(row: RowMapping) -> ReceivedTrigger:
    """A row of the triggers table, without the decision."""
    return ReceivedTrigger(
        trigger=Trigger(
            frame_id=row["frame_id"],
            kind=TriggerKind(row["purpose"]),
            at=row["at"],
            plate=plate_from(row["plate"]),
            occupancy=Occupancy(row["occupancy"]),
            is_vehicle_seen=row["is_vehicle_seen"],
            picture_source=PictureSource(row["picture_source"]),
            failure=row["failure"],
            notes=tuple(row["trigger_notes"] or ()),
        ),
        address=address_from(row),
        captured_at=row["captured_at"],
        received_at=row["received_at"],
        picture=picture_from(row["picture"]),
        picture_note=row["picture_note"],
        is_picture_incomplete=row["is_picture_incomplete"],
        spot_polygon_px=polygon_from(row["spot_polygon_px"]),
    )


def ignored_trigger_from(row: RowMapping) -> IgnoredTrigger:
    """A row of the triggers table."""
    return IgnoredTrigger(
        trigger_id=row["trigger_id"],
        received=received_trigger_from(row),
        decision=TriggerDecision(
            kind=DecisionKind(row["decision"]),
            reason=_reason_from(row["reason"]),
            ticket_id=row["ticket_id"],
            is_waiting=row["is_waiting"],
            notes=tuple(row["notes"]),
            decided_at=row["decided_at"],
        ),
    )


# What replicas of the release before migration 0002 write, which may still run during an upgrade.
_OLDER_REASONS = {
    "Spot already occupied": IgnoredReason.SPOT_ALREADY_OCCUPIED,
    "No car detected": IgnoredReason.NO_CAR_DETECTED,
    "Spot still occupied": IgnoredReason.SPOT_STILL_OCCUPIED,
    "No open ticket": IgnoredReason.NO_OPEN_TICKET,
    "Older than the latest ticket": IgnoredReason.OLDER_THAN_LATEST_TICKET,
}


def _reason_from(text: str) -> IgnoredReason | None:
    if not text:
        return None
    return _OLDER_REASONS.get(text) or IgnoredReason(text)
