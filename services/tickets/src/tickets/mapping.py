"""Protobuf to domain values and back: `PlatesRead` in, events and tickets out."""

import math
from datetime import datetime, timedelta
from uuid import UUID

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from kit.bus import Event, EventSource, Rejected, event_type
from kit.ids import derived_id
from kit.protobuf_time import TimeOutOfRange, to_datetime, to_timedelta
from lookout.camera.v1 import camera_pb2 as camera
from lookout.common.v1 import common_pb2 as common
from lookout.parking.v1 import parking_pb2 as parking
from lookout.plates.v1 import plates_pb2 as plates
from tickets.domain.plates import UNKNOWN, Character, Picture, Plate
from tickets.domain.sessions import (
    REASON_TEXTS,
    Decision,
    DecisionKind,
    Ignored,
    IgnoredReason,
    Opened,
    ReviewReason,
    TriggerOutcome,
    kind_of,
    outcome_of,
)
from tickets.domain.spot_state import SpotState, SpotStatus
from tickets.domain.tickets import Point, ReceivedTrigger, Review, SpotAddress, Ticket, TicketStatus
from tickets.domain.triggers import ClockState, Occupancy, PictureSource, Trigger, TriggerKind, clock_note

EVENTS = EventSource(
    "tickets", parking.TicketOpened, parking.TicketClosed, parking.ReviewRequested, parking.TriggerDecided
)
"""All that tickets publishes."""

# `Vehicle.source` of the camera's own vehicle box.
_CAMERA_BOX = "camera"

_LONGEST = timedelta(days=3_652_500)
"""The longest duration that a protobuf Duration may have: 10,000 years."""

# Enums of the domain and of the contracts have the same names, so that a missing one fails at import.
_TRIGGER_KINDS = {camera.Purpose.Value(f"PURPOSE_{kind.name}"): kind for kind in TriggerKind}
_OCCUPANCIES = {plates.SpotOccupancy.Value(f"SPOT_OCCUPANCY_{value.name}"): value for value in Occupancy}
_PICTURE_SOURCES = {
    camera.PictureSource.Value(f"PICTURE_SOURCE_{source.name}"): source for source in PictureSource
}
_CLOCK_STATES = {camera.ClockState.Value(f"CLOCK_STATE_{state.name}"): state for state in ClockState}
_STATUSES = {status: parking.TicketStatus.Value(f"TICKET_STATUS_{status.name}") for status in TicketStatus}
_STATUSES_IN = {message: status for status, message in _STATUSES.items()}
_DECISIONS = {kind: parking.Decision.Value(f"DECISION_{kind.name}") for kind in DecisionKind}
_OUTCOMES = {
    outcome: parking.TriggerOutcome.Value(f"TRIGGER_OUTCOME_{outcome.name}") for outcome in TriggerOutcome
}
_IGNORED_REASONS = {
    reason: parking.IgnoredReason.Value(f"IGNORED_REASON_{reason.name}") for reason in IgnoredReason
}
_SPOT_STATUSES = {status: parking.SpotStatus.Value(f"SPOT_STATUS_{status.name}") for status in SpotStatus}
_REVIEW_REASONS = {
    reason: parking.ReviewReason.Value(f"REVIEW_REASON_{reason.name}") for reason in ReviewReason
}


def is_trigger(read: plates.PlatesRead) -> bool:
    """Whether a frame is an entry or exit, or does not say what it is."""
    return read.frame.purpose in _TRIGGER_KINDS or read.frame.purpose == camera.PURPOSE_UNSPECIFIED


def received_trigger_from(read: plates.PlatesRead) -> ReceivedTrigger:
    """A read of an entry or exit, as a trigger.

    Raises:
        Rejected: the message lacks something that every trigger needs.
    """
    frame = read.frame
    kind = _TRIGGER_KINDS.get(frame.purpose)
    if kind is None:
        raise Rejected("PlatesRead.frame has no purpose ENTRY or EXIT")
    received_at = _datetime_from(frame.received_at) if frame.HasField("received_at") else None
    if received_at is None:
        raise Rejected("PlatesRead.frame has no valid received_at")
    occurred_at = _datetime_from(frame.captured_at) if frame.HasField("captured_at") else None
    clock_state = _CLOCK_STATES.get(frame.clock_state, ClockState.UNSPECIFIED)
    note = clock_note(clock_state, _timedelta_from(frame.clock_skew))
    if occurred_at is None:
        note = "the camera sent no time: the time of receipt is used"
    return ReceivedTrigger(
        trigger=Trigger(
            frame_id=_frame_id_from(frame.frame_id),
            kind=kind,
            at=occurred_at or received_at,
            plate=_spot_plate(read),
            occupancy=_OCCUPANCIES.get(read.spot_occupancy, Occupancy.UNKNOWN),
            is_vehicle_seen=any(v.is_in_spot and v.source != _CAMERA_BOX for v in read.vehicles),
            picture_source=_PICTURE_SOURCES.get(frame.picture_source, PictureSource.UNSPECIFIED),
            failure=_without_nul(read.failure),
            notes=(note,) if note else (),
        ),
        address=_address_from(frame),
        captured_at=_camera_time(occurred_at, received_at, clock_state, frame.clock_skew),
        received_at=received_at,
        picture=_picture_from(frame.picture) if frame.HasField("picture") else None,
        picture_note=_without_nul(frame.picture_note),
        spot_polygon_px=_polygon_from(frame.spot.polygon),
        is_picture_incomplete=read.is_picture_incomplete,
        number_of_parking=max(0, frame.camera.number_of_parking),
    )


def received_trigger_from_body(body: bytes) -> ReceivedTrigger:
    """A waiting trigger that a replica of the release before stored as the body of its message.

    Raises:
        Rejected: the message lacks something that every trigger needs.
    """
    return received_trigger_from(plates.PlatesRead.FromString(body))


def _camera_time(
    occurred_at: datetime | None, received_at: datetime, state: ClockState, skew: Duration
) -> datetime | None:
    """The time by the camera's clock, also where ingest has replaced it by that of receipt."""
    if state not in {ClockState.AHEAD, ClockState.BEHIND}:
        return occurred_at
    try:
        return received_at + _timedelta_from(skew)
    except OverflowError:
        return None


def _timedelta_from(duration: Duration) -> timedelta:
    """For a duration out of range, the longest one with its sign."""
    try:
        return to_timedelta(duration)
    except TimeOutOfRange:
        return _LONGEST if duration.seconds > 0 else -_LONGEST


def _frame_id_from(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Rejected(f"PlatesRead.frame.frame_id is not a UUID: {text[:80]!r}") from None


def _address_from(frame: camera.FrameCaptured) -> SpotAddress:
    """From `camera` and `spot_ref`, or from the older fields in a message of an ingest that does not fill those."""
    ref = frame.camera if frame.HasField("camera") else _older_camera_ref(frame)
    spot = frame.spot_ref if frame.HasField("spot_ref") else frame.spot
    if spot.spot_number < 1 or ref.camera_id < 1:
        raise Rejected("PlatesRead.frame of an entry or exit needs a camera_id and a spot_number from 1")
    return SpotAddress(
        location_id=ref.location_id,
        location_code=_without_nul(ref.location_code),
        zone_id=ref.zone_id,
        zone_code=_without_nul(ref.zone_code),
        pole_id=ref.pole_id,
        pole_code=_without_nul(ref.pole_code),
        camera_id=ref.camera_id,
        camera_name=_without_nul(ref.name),
        camera_api_code=_without_nul(ref.api_code),
        spot_id=spot.spot_id,
        spot_number=spot.spot_number,
        time_zone=_without_nul(ref.time_zone) or "UTC",
    )


def _older_camera_ref(frame: camera.FrameCaptured) -> common.CameraRef:
    return common.CameraRef(
        camera_id=frame.camera_id,
        name=frame.camera_name,
        api_code=frame.camera_api_code,
        location_id=frame.location_id,
        location_code=frame.location_code,
        zone_id=frame.zone_id,
        zone_code=frame.zone_code,
        pole_id=frame.pole_id,
        pole_code=frame.pole_code,
        time_zone=frame.time_zone,
    )


def _spot_plate(read: plates.PlatesRead) -> Plate | None:
    """The plate in the spot. One elsewhere in the picture is on a neighbouring car and is not considered."""
    # The index is 0 if its sender left it out, also when there is no plate.
    if not 0 <= read.spot_plate_index < len(read.plates):
        return None
    plate = read.plates[read.spot_plate_index]
    # A plate that was only seen shows that a vehicle is there; a text that was sent with it must not reach a ticket.
    is_read = plate.state != common.PLATE_STATE_SEEN_NOT_READ
    return Plate(
        text=_without_nul(plate.text) if is_read else "",
        region=_without_nul(plate.region).lower(),
        code=_without_nul(plate.code) if is_read else "",
        number=_without_nul(plate.number) if is_read else "",
        confidence=_probability(plate.confidence) if is_read else 0.0,
        characters=tuple(
            Character(_without_nul(c.text), _probability(c.confidence)) for c in plate.characters
        ),
        box_px=_box_from(plate.box) if plate.HasField("box") else None,
        crop=_picture_from(plate.crop) if plate.HasField("crop") else None,
        raw_text=_without_nul(plate.raw_text),
    )


def _without_nul(text: str) -> str:
    """Without U+0000, which PostgreSQL cannot store in a text."""
    return text.replace("\x00", "")


def _probability(value: float) -> float:
    return min(max(value, 0.0), 1.0) if math.isfinite(value) else 0.0


def _box_from(box: common.Box) -> tuple[float, float, float, float] | None:
    values = (box.x, box.y, box.width, box.height)
    return values if all(map(math.isfinite, values)) else None


def _polygon_from(polygon: common.Polygon) -> tuple[Point, ...]:
    points = tuple((point.x, point.y) for point in polygon.points)
    return points if all(math.isfinite(value) for point in points for value in point) else ()


def _picture_from(blob: common.BlobRef) -> Picture | None:
    if not blob.key:
        return None
    return Picture(
        key=_without_nul(blob.key),
        content_type=_without_nul(blob.content_type),
        size_bytes=blob.size_bytes,
        sha256=_without_nul(blob.sha256),
        width_px=blob.width_px,
        height_px=blob.height_px,
    )


def _datetime_from(stamp: Timestamp) -> datetime | None:
    """None outside of the years 1 to 9999."""
    try:
        return to_datetime(stamp)
    except TimeOutOfRange:
        return None


def bound_from(stamp: Timestamp) -> datetime | None:
    """A time that bounds a list; None, which is no bound, for the zero time."""
    return _datetime_from(stamp) if stamp.seconds or stamp.nanos else None


def status_from(status: parking.TicketStatus.ValueType) -> TicketStatus | None:
    """A status that a list is filtered by; None, which is no condition, if unspecified."""
    return _STATUSES_IN.get(status)


def timestamp(moment: datetime) -> Timestamp:
    """As protobuf has it."""
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def events_of(
    decision: Decision,
    received: ReceivedTrigger,
    ticket: Ticket | None,
    review: Review | None,
    spot: SpotState,
    *,
    cause: UUID,
    decided_at: datetime,
) -> list[Event]:
    """The events of one decision, in the order in which subscribers should receive them.

    `spot` is the state of the spot after all decisions that were made together.
    `cause` is the id of the message that led to the decision. The ids of the events are derived from it, so that they
    are the same if the message is handled again after its inbox row was swept.
    """
    ticket_part = ticket_message(ticket) if ticket is not None else None
    messages: list[Message] = []
    kind = kind_of(decision)
    if kind in {DecisionKind.OPENED, DecisionKind.REOPENED}:
        is_reopened = kind is DecisionKind.REOPENED
        messages.append(parking.TicketOpened(ticket=ticket_part, is_reopened=is_reopened))
    elif kind is DecisionKind.CLOSED:
        messages.append(parking.TicketClosed(ticket=ticket_part))
    if isinstance(decision, Opened) and review is not None:
        messages.append(
            parking.ReviewRequested(
                review_id=review.review_id,
                ticket=ticket_part,
                reason=review.reason.value,
                requested_at=timestamp(review.requested_at),
                review_reason=_REVIEW_REASONS[review.reason],
            )
        )
    decided = parking.TriggerDecided(
        frame_id=str(received.trigger.frame_id),
        decision=_DECISIONS[kind],
        ticket=ticket_part,
        review_id=(ticket.review_id or 0) if ticket is not None else 0,
        decided_at=timestamp(decided_at),
        outcome=_OUTCOMES[outcome_of(decision)],
        camera=_camera_message(received.address),
        spot_ref=_spot_message(received.address),
        spot_status=_SPOT_STATUSES[spot.status],
        spot_status_at=timestamp(spot.at) if spot.at is not None else None,
    )
    if isinstance(decision, Ignored):
        decided.ignored_reason = _IGNORED_REASONS[decision.reason]
        decided.reason = REASON_TEXTS[decision.reason]
    messages.append(decided)
    return [_event(message, received, cause, decided_at) for message in messages]


def _event(message: Message, received: ReceivedTrigger, cause: UUID, decided_at: datetime) -> Event:
    address, frame_id = received.address, received.trigger.frame_id
    return EVENTS.event(
        message,
        scope=(address.location_code, address.camera_api_code),
        partition_key=f"camera:{address.camera_id}",
        occurred_at=decided_at,
        correlation_id=str(frame_id),
        # With the frame, since one message may lead to decisions about several waiting triggers.
        message_id=derived_id(cause, f"{event_type(type(message)).event}:{frame_id}"),
    )


def ticket_message(ticket: Ticket) -> parking.Ticket:
    """A ticket as events and gRPC carry it."""
    address, plate = ticket.address, ticket.plate
    return parking.Ticket(
        ticket_id=ticket.ticket_id,
        status=_STATUSES[ticket.status],
        location_id=address.location_id,
        location_code=address.location_code,
        zone_id=address.zone_id,
        zone_code=address.zone_code,
        pole_id=address.pole_id,
        pole_code=address.pole_code,
        camera_id=address.camera_id,
        camera_name=address.camera_name,
        spot_id=address.spot_id,
        spot_number=address.spot_number,
        plate=_plate_message(plate) if plate is not None else common.Plate(text=UNKNOWN),
        plate_city=plate.city if plate is not None else "",
        entry_at=timestamp(ticket.entry_at),
        exit_at=timestamp(ticket.exit_at) if ticket.exit_at is not None else None,
        entry_picture=_blob_message(ticket.entry_picture),
        exit_picture=_blob_message(ticket.exit_picture),
        entry_frame_id=str(ticket.entry_frame_id),
        exit_frame_id=str(ticket.exit_frame_id) if ticket.exit_frame_id is not None else "",
        camera=_camera_message(address),
        spot_ref=_spot_message(address),
        is_picture_incomplete=ticket.is_picture_incomplete,
    )


def _spot_message(address: SpotAddress) -> common.SpotRef:
    return common.SpotRef(spot_id=address.spot_id, spot_number=address.spot_number)


def _camera_message(address: SpotAddress) -> common.CameraRef:
    return common.CameraRef(
        camera_id=address.camera_id,
        name=address.camera_name,
        api_code=address.camera_api_code,
        location_id=address.location_id,
        location_code=address.location_code,
        zone_id=address.zone_id,
        zone_code=address.zone_code,
        pole_id=address.pole_id,
        pole_code=address.pole_code,
        time_zone=address.time_zone,
    )


def _plate_message(plate: Plate) -> common.Plate:
    box = plate.box_px
    return common.Plate(
        text=plate.text,
        region=plate.region,
        code=plate.code,
        number=plate.number,
        confidence=plate.confidence,
        characters=[common.Character(text=c.text, confidence=c.confidence) for c in plate.characters],
        box=common.Box(x=box[0], y=box[1], width=box[2], height=box[3]) if box is not None else None,
        crop=_blob_message(plate.crop),
        raw_text=plate.raw_text,
    )


def _blob_message(picture: Picture | None) -> common.BlobRef | None:
    if picture is None:
        return None
    return common.BlobRef(
        key=picture.key,
        content_type=picture.content_type,
        size_bytes=picture.size_bytes,
        sha256=picture.sha256,
        width_px=picture.width_px,
        height_px=picture.height_px,
    )
