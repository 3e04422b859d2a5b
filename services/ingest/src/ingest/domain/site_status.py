"""Whether a camera works, and which spots are taken: what is observed, beside what is registered."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from ingest.domain.site import CameraStatus


class Occupancy(StrEnum):
    """Of a spot, as tickets derives it from the spot's entries and exits."""

    OCCUPIED = "OCCUPIED"
    FREE = "FREE"
    # Nothing was decided yet, or the last exit had no open ticket and its picture shows a vehicle.
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class SpotReport:
    """What tickets said of a spot at `decided_at`; `at` is the time of the entry or exit that it follows from."""

    camera_id: int
    spot_number: int
    occupancy: Occupancy
    at: datetime | None
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class SpotCounts:
    """The spots of a camera or location, by occupancy."""

    total: int = 0
    occupied: int = 0
    free: int = 0

    @property
    def unknown(self) -> int:
        """The others, also those that `number_of_parking` counts and that are not registered yet."""
        return self.total - self.occupied - self.free


def count_spots(number_of_parking: int, registered: int, occupied: int, free: int) -> SpotCounts:
    """The spots of a camera: as many as it is registered to watch, or as are registered if those are more."""
    return SpotCounts(max(number_of_parking, registered), occupied, free)


def sum_of(counts: Iterable[SpotCounts]) -> SpotCounts:
    """The spots of several cameras."""
    total = occupied = free = 0
    for one in counts:
        total, occupied, free = total + one.total, occupied + one.occupied, free + one.free
    return SpotCounts(total, occupied, free)


class StatusReason(StrEnum):
    """Why a camera is ONLINE or OFFLINE."""

    # ONLINE: the last sign of it is a push.
    PUSHED = "PUSHED"
    # ONLINE: the last sign of it is that it answered a call.
    ANSWERED = "ANSWERED"
    # OFFLINE: an operator has set `is_enabled` to false.
    DISABLED = "DISABLED"
    # OFFLINE: it has neither pushed nor answered since a call failed.
    NO_ANSWER = "NO_ANSWER"
    # OFFLINE: it has neither pushed nor answered for a long time.
    SILENT = "SILENT"
    # OFFLINE: it has never pushed nor answered.
    NEVER_SEEN = "NEVER_SEEN"


@dataclass(frozen=True, slots=True)
class CameraSigns:
    """What was seen of a camera. `failure`: what the last call that failed ended with, an error's code."""

    is_enabled: bool = True
    pushed_at: datetime | None = None
    answered_at: datetime | None = None
    failed_at: datetime | None = None
    failure: str = ""

    @property
    def last_sign_at(self) -> datetime | None:
        """When it last pushed or answered."""
        return max((at for at in (self.pushed_at, self.answered_at) if at is not None), default=None)


@dataclass(frozen=True, slots=True)
class StatusLimits:
    """fresh: a sign of this age or newer outweighs a failed call. silent: an older sign is none."""

    fresh: timedelta
    silent: timedelta


@dataclass(frozen=True, slots=True)
class CameraState:
    """What a camera is, why, and what was seen of it."""

    status: CameraStatus
    reason: StatusReason
    signs: CameraSigns
    spots: SpotCounts = SpotCounts()


def camera_status(
    signs: CameraSigns, now: datetime, limits: StatusLimits
) -> tuple[CameraStatus, StatusReason]:
    """Whether a camera works, by its latest sign and by what calls to it ended with."""
    if not signs.is_enabled:
        return CameraStatus.OFFLINE, StatusReason.DISABLED
    seen_at, failed_at = signs.last_sign_at, signs.failed_at
    if seen_at is None:
        reason = StatusReason.NEVER_SEEN if failed_at is None else StatusReason.NO_ANSWER
        return CameraStatus.OFFLINE, reason
    if failed_at is not None and failed_at > seen_at and now - seen_at > limits.fresh:
        return CameraStatus.OFFLINE, StatusReason.NO_ANSWER
    if now - seen_at > limits.silent:
        return CameraStatus.OFFLINE, StatusReason.SILENT
    is_push = signs.pushed_at == seen_at
    return CameraStatus.ONLINE, StatusReason.PUSHED if is_push else StatusReason.ANSWERED


def is_check_due(signs: CameraSigns, now: datetime, interval: timedelta) -> bool:
    """Whether to call a camera to see that it works: nothing is known from within the interval."""
    if not signs.is_enabled:
        return False
    known_at = max((at for at in (signs.last_sign_at, signs.failed_at) if at is not None), default=None)
    return known_at is None or now - known_at >= interval
