"""Entries and exits at a spot, as the session rules see them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from tickets.domain.plates import Plate


class TriggerKind(StrEnum):
    ENTRY = "ENTRY"
    EXIT = "EXIT"


class Occupancy(StrEnum):
    OCCUPIED = "OCCUPIED"
    FREE = "FREE"
    # The picture does not show whether a vehicle is in the spot. This is not FREE.
    UNKNOWN = "UNKNOWN"


class PictureSource(StrEnum):
    UNSPECIFIED = "UNSPECIFIED"
    PUSHED = "PUSHED"
    FETCHED = "FETCHED"
    PUSHED_FALLBACK = "PUSHED_FALLBACK"


class ClockState(StrEnum):
    """What ingest found about the camera's clock."""

    # The message is of an ingest that does not send its finding.
    UNSPECIFIED = "UNSPECIFIED"
    OK = "OK"
    AHEAD = "AHEAD"
    BEHIND = "BEHIND"


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings of the session rules. `min_read_confidence` is 0 to 1."""

    min_read_confidence: float = 0.50
    reopen_window: timedelta = timedelta(minutes=15)
    late_event_window: timedelta = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Trigger:
    """One entry or exit. `at` is when it happened, as ingest determined it."""

    frame_id: UUID
    kind: TriggerKind
    at: datetime
    # The plate in the spot, with any confidence; None if there is none.
    plate: Plate | None = None
    occupancy: Occupancy = Occupancy.UNKNOWN
    # A vehicle detector found a vehicle in the spot. The camera's own box is not counted: for an exit it is where the
    # vehicle was before it left.
    is_vehicle_seen: bool = False
    picture_source: PictureSource = PictureSource.PUSHED
    # Why the picture could not be processed; empty if it could.
    failure: str = ""
    notes: tuple[str, ...] = ()

    def counted_plate(self, rules: Rules) -> Plate | None:
        """The plate, if it was read with enough confidence to count."""
        if self.plate is None or not self.plate.text:
            return None
        return self.plate if self.plate.confidence >= rules.min_read_confidence else None


def clock_note(state: ClockState, skew: timedelta) -> str:
    """Why a trigger's time is not the camera's; empty if it is. `skew` is the camera's time minus that of receipt."""
    match state:
        case ClockState.AHEAD:
            return f"camera clock {skew} ahead: the time of receipt is used"
        case ClockState.BEHIND:
            return f"camera clock {-skew} behind: the time of receipt is used"
        case ClockState.OK | ClockState.UNSPECIFIED:
            return ""
