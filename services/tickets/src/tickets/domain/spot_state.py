"""Whether a spot is taken, as far as its entries and exits show."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tickets.domain.sessions import Decision, Ignored, IgnoredReason, SpotHistory


class SpotStatus(StrEnum):
    # A ticket is open.
    OCCUPIED = "OCCUPIED"
    FREE = "FREE"
    # The last exit had no open ticket, and its picture shows a vehicle; or nothing was decided yet.
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class SpotState:
    """`at` is the time of the entry or exit that the status follows from; None if there is none."""

    status: SpotStatus = SpotStatus.UNKNOWN
    at: datetime | None = None


UNKNOWN_SPOT = SpotState()


def spot_state_after(known: SpotState, history: SpotHistory, decision: Decision) -> SpotState:
    """The state of a spot after a decision.

    known: the state before it. history: the sessions with the decision applied, and with all that were made with it.
    An open ticket always makes the spot OCCUPIED. Otherwise what happened last counts, so that an entry or exit that
    arrives late does not replace what is known of a later time.
    """
    last = history.last
    if last is not None and last.exit_at is None:
        return SpotState(SpotStatus.OCCUPIED, last.earliest_exit_at)
    found = [SpotState(SpotStatus.FREE, last.exit_at)] if last is not None else []
    if (shown := _shown_by(decision)) is not None:
        found.append(shown)
    if known.status is not SpotStatus.OCCUPIED and known.at is not None:
        found.append(known)
    newest = UNKNOWN_SPOT
    for state in found:
        if newest.at is None or (state.at is not None and state.at > newest.at):
            newest = state
    return newest


def _shown_by(decision: Decision) -> SpotState | None:
    """What a trigger that changed no ticket says about a spot without an open one."""
    if not isinstance(decision, Ignored):
        return None
    trigger = decision.trigger
    if decision.reason is IgnoredReason.NO_CAR_DETECTED:
        return SpotState(SpotStatus.FREE, trigger.at)
    if decision.reason is IgnoredReason.NO_OPEN_TICKET:
        is_vehicle_shown = trigger.plate is not None or trigger.is_vehicle_seen
        return SpotState(SpotStatus.UNKNOWN if is_vehicle_shown else SpotStatus.FREE, trigger.at)
    return None


@dataclass(frozen=True, slots=True)
class SpotCounts:
    """The spots of a camera or a location, by status."""

    total: int = 0
    occupied: int = 0
    free: int = 0

    @property
    def unknown(self) -> int:
        """Those of which nothing is known, spots included that have never sent an entry or exit."""
        return self.total - self.occupied - self.free

    def __add__(self, other: "SpotCounts") -> "SpotCounts":
        return SpotCounts(self.total + other.total, self.occupied + other.occupied, self.free + other.free)


def count_spots(number_of_parking: int, known: int, occupied: int, free: int) -> SpotCounts:
    """The spots of a camera.

    number_of_parking: how many it is registered to watch, 0 if that is not set. known: spots that have sent an entry or
    exit; the larger of the two is the total. occupied: those with an open ticket. free: known ones that are FREE.
    A spot that has both is occupied: a replica of the release before changes only tickets.
    """
    total = max(number_of_parking, known, occupied)
    return SpotCounts(total, occupied, min(free, total - occupied))
