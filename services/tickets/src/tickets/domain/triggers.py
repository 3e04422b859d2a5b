"""What a camera reports about a spot, and when it counts as having happened."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from tickets.domain.plates import Plate


class Kind(StrEnum):
    ENTRY = "ENTRY"
    EXIT = "EXIT"


class Occupancy(StrEnum):
    OCCUPIED = "OCCUPIED"
    FREE = "FREE"
    # Nothing to judge by. It is not "free".
    UNKNOWN = "UNKNOWN"


class PictureSource(StrEnum):
    UNSPECIFIED = "UNSPECIFIED"
    PUSHED = "PUSHED"
    FETCHED = "FETCHED"
    PUSHED_FALLBACK = "PUSHED_FALLBACK"


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that the decisions depend on. `min_read_confidence` is 0 to 1."""

    min_read_confidence: float = 0.50
    reopen_window: timedelta = timedelta(minutes=15)
    late_event_window: timedelta = timedelta(hours=24)
    clock_ahead_limit: timedelta = timedelta(minutes=10)
    clock_behind_limit: timedelta = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Trigger:
    """One entry or exit. `at` is the time that counts, see `time_of`."""

    frame_id: UUID
    kind: Kind
    at: datetime
    # The plate that stands in the spot, however badly it was read; None when none does.
    plate: Plate | None = None
    occupancy: Occupancy = Occupancy.UNKNOWN
    # A vehicle in the spot, seen in this picture by a detector. The camera's own box does not count: with an
    # exit it shows where the car stood before it left.
    is_vehicle_seen: bool = False
    picture_source: PictureSource = PictureSource.PUSHED
    # Why the picture could not be looked at; empty when it could.
    failure: str = ""
    notes: tuple[str, ...] = ()

    def read(self, rules: Rules) -> Plate | None:
        """The plate, when it was read well enough to count."""
        if self.plate is None or not self.plate.text:
            return None
        return self.plate if self.plate.confidence >= rules.min_read_confidence else None


@dataclass(frozen=True, slots=True)
class TriggerTime:
    at: datetime
    # Why it is not the camera's own time; empty when it is.
    note: str = ""


def time_of(captured_at: datetime | None, received_at: datetime, rules: Rules) -> TriggerTime:
    """When a trigger counts as having happened.

    The camera's time, so that events that come late fall into their place; but a clock that runs ahead or
    an unset one (1970 after a power cut) would put sessions where none was, so beyond the limits the time of
    arrival counts. A camera may hold events back for long, hence two limits: behind is wider than ahead.
    """
    if captured_at is None:
        return TriggerTime(received_at, "the camera gave no time: the time of arrival counts")
    lead = captured_at - received_at
    if lead > rules.clock_ahead_limit:
        return TriggerTime(received_at, f"camera clock {lead} ahead: the time of arrival counts")
    if -lead > rules.clock_behind_limit:
        return TriggerTime(received_at, f"camera clock {-lead} behind: the time of arrival counts")
    return TriggerTime(captured_at)
