"""A camera event: a parking push that was accepted, and what became of it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from ingest.domain.frame import CapturedFrame, StoredPicture
from ingest.domain.parking_push import ParkingPush, Purpose


class EventState(StrEnum):
    """PENDING: waits for a fresh picture, or behind an event that does. DISPATCHED: its frame is in the outbox."""

    PENDING = "PENDING"
    DISPATCHED = "DISPATCHED"


@dataclass(frozen=True, slots=True)
class NewCameraEvent:
    """An event to be stored. `encoded_frame` is kept while the event is pending."""

    frame: CapturedFrame
    push: ParkingPush
    fingerprint: bytes
    raw_push: str
    encoded_frame: bytes
    traceparent: str | None

    @property
    def must_wait(self) -> bool:
        """An exit is dispatched only after a fresh picture of the spot was tried."""
        return self.push.purpose is Purpose.EXIT


@dataclass(frozen=True, slots=True)
class AcceptedEvent:
    """What a camera is answered about its event."""

    event_id: UUID
    purpose: Purpose
    camera_id: int
    spot_number: int
    captured_at: datetime
    received_at: datetime
    clock_state: str


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """An event that this replica has leased in order to dispatch it."""

    event_no: int
    event_id: UUID
    camera_id: int
    purpose: Purpose
    encoded_frame: bytes
    traceparent: str | None
    lease_id: UUID


@dataclass(frozen=True, slots=True)
class CameraEvent:
    """An event as it is listed.

    `captured_at` is the time that all other services use, `reported_time` what the camera's clock showed;
    `clock_skew_s` is the camera's clock minus ours. `outcome_document` is the answer's part about the outcome.
    """

    event_no: int
    event_id: UUID
    camera_id: int
    location_id: int
    parking_area: str
    spot_number: int
    purpose: Purpose
    device: str
    reported_time: str
    captured_at: datetime
    received_at: datetime
    clock_state: str
    clock_skew_s: float
    state: EventState
    dispatched_at: datetime | None
    pushed_picture: StoredPicture
    picture: StoredPicture | None
    picture_source: str
    picture_note: str
    outcome: str
    outcome_document: dict[str, Any] | None
    decided_at: datetime | None
