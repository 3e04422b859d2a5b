"""The sessions of one spot in order of time, and the decisions that change them."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum, StrEnum
from uuid import UUID

from tickets.domain.plates import Plate
from tickets.domain.triggers import Trigger, TriggerKind

_NEVER = datetime.max.replace(tzinfo=UTC)


class IgnoredReason(StrEnum):
    """Why a trigger changed no ticket."""

    SPOT_ALREADY_OCCUPIED = "SPOT_ALREADY_OCCUPIED"
    NO_CAR_DETECTED = "NO_CAR_DETECTED"
    SPOT_STILL_OCCUPIED = "SPOT_STILL_OCCUPIED"
    NO_OPEN_TICKET = "NO_OPEN_TICKET"
    OLDER_THAN_LATEST_TICKET = "OLDER_THAN_LATEST_TICKET"


REASON_TEXTS = {
    IgnoredReason.SPOT_ALREADY_OCCUPIED: "Spot already occupied",
    IgnoredReason.NO_CAR_DETECTED: "No car detected",
    IgnoredReason.SPOT_STILL_OCCUPIED: "Spot still occupied",
    IgnoredReason.NO_OPEN_TICKET: "No open ticket",
    IgnoredReason.OLDER_THAN_LATEST_TICKET: "Older than the latest ticket",
}
"""The reasons as people read them: in REST, and in `TriggerDecided.reason` for one more release."""


class ReviewReason(StrEnum):
    UNREAD_PLATE = "unread_plate"
    LOW_CONFIDENCE = "low_confidence"
    UNREADABLE_PICTURE = "unreadable_picture"


class DecisionKind(StrEnum):
    OPENED = "OPENED"
    REOPENED = "REOPENED"
    CLOSED = "CLOSED"
    IGNORED = "IGNORED"


class TriggerOutcome(StrEnum):
    """What the camera's side is answered about a trigger."""

    OPENED = "OPENED"
    REOPENED = "REOPENED"
    CLOSED = "CLOSED"
    IGNORED = "IGNORED"
    # An exit whose picture shows the vehicle still in the spot; no other ignored exit has this outcome.
    STILL_OCCUPIED = "STILL_OCCUPIED"


@dataclass(frozen=True, slots=True)
class Session:
    """The stay of one vehicle. Identified by the frame of its entry; ticket numbers are given by the database."""

    entry_frame_id: UUID
    entry_at: datetime
    # None if the plate could not be read: the ticket is UNKNOWN.
    plate: Plate | None
    exit_at: datetime | None = None
    # When it was last reopened; None if it never was.
    resumed_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        return self.exit_at is None

    @property
    def earliest_exit_at(self) -> datetime:
        """An exit from before this time cannot end the session: it belongs to the part before it was reopened."""
        return self.resumed_at or self.entry_at


@dataclass(frozen=True, slots=True)
class Opened:
    trigger: Trigger
    session: Session
    review: ReviewReason | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reopened:
    trigger: Trigger
    session: Session
    # The exit that the reopening takes back.
    earlier_exit_at: datetime
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Closed:
    trigger: Trigger
    session: Session
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ignored:
    trigger: Trigger
    reason: IgnoredReason
    # The session at the trigger's time, or the next one after it; None if there is none.
    session: Session | None = None
    # A trigger that arrives late may still complete it.
    is_waiting: bool = False
    notes: tuple[str, ...] = ()


Decision = Opened | Reopened | Closed | Ignored


def kind_of(decision: Decision) -> DecisionKind:
    """What the decision does to a ticket."""
    match decision:
        case Opened():
            return DecisionKind.OPENED
        case Reopened():
            return DecisionKind.REOPENED
        case Closed():
            return DecisionKind.CLOSED
        case Ignored():
            return DecisionKind.IGNORED


def outcome_of(decision: Decision) -> TriggerOutcome:
    """What the camera's side is answered. Determined here only; ingest translates it to words."""
    if isinstance(decision, Ignored) and decision.reason is IgnoredReason.SPOT_STILL_OCCUPIED:
        return TriggerOutcome.STILL_OCCUPIED
    return TriggerOutcome(kind_of(decision))


class PositionKind(Enum):
    """Where a moment lies among the sessions of a spot."""

    # At or after the entry of the open session.
    IN_OPEN_SESSION = "in the open session"
    # At or after the end of the last session, or there is no session.
    AFTER_ALL_SESSIONS = "after all sessions"
    IN_CLOSED_SESSION = "in a closed session"
    # Before a known session, and in none.
    BETWEEN_SESSIONS = "between sessions"
    # Before everything that was loaded, where older sessions may exist.
    BEFORE_KNOWN_SESSIONS = "before the known sessions"


@dataclass(frozen=True, slots=True)
class Position:
    kind: PositionKind
    # IN_…: that session. AFTER_ALL_SESSIONS: the last one. BETWEEN_SESSIONS and BEFORE_KNOWN_SESSIONS: the next one.
    session: Session | None = None
    # BETWEEN_SESSIONS: the end of the session before; None if there is none.
    gap_start: datetime | None = None


@dataclass(frozen=True, slots=True)
class SpotHistory:
    """What is known of a spot when a trigger arrives.

    sessions: in order of entry; they do not overlap, and only the last may be open.
    waiting: waiting triggers, in order of time.
    is_complete: False if sessions older than the first may exist.
    """

    sessions: tuple[Session, ...] = ()
    waiting: tuple[Trigger, ...] = ()
    is_complete: bool = True

    @property
    def last(self) -> Session | None:
        return self.sessions[-1] if self.sessions else None

    def locate(self, trigger: Trigger) -> Position:
        """Where the trigger lies among the sessions.

        An entry at the very second of an exit comes after it; an exit at that second belongs to the session that
        it ended, since cameras repeat events.
        """
        at, is_exit = trigger.at, trigger.kind is TriggerKind.EXIT
        following: Session | None = None
        for session in reversed(self.sessions):
            if at < session.entry_at:
                following = session
                continue
            if session.exit_at is None:
                is_before_reopening = is_exit and at < session.earliest_exit_at
                kind = PositionKind.IN_CLOSED_SESSION if is_before_reopening else PositionKind.IN_OPEN_SESSION
                return Position(kind, session)
            if at < session.exit_at or at == session.entry_at or (is_exit and at == session.exit_at):
                return Position(PositionKind.IN_CLOSED_SESSION, session)
            if following is None:
                return Position(PositionKind.AFTER_ALL_SESSIONS, session)
            return Position(PositionKind.BETWEEN_SESSIONS, following, gap_start=session.exit_at)
        if following is None:
            return Position(PositionKind.AFTER_ALL_SESSIONS)
        is_known = self.is_complete
        kind = PositionKind.BETWEEN_SESSIONS if is_known else PositionKind.BEFORE_KNOWN_SESSIONS
        return Position(kind, following)

    def after(self, decision: Decision) -> "SpotHistory":
        """The history with `decision` applied."""
        waiting = tuple(t for t in self.waiting if t.frame_id != decision.trigger.frame_id)
        if isinstance(decision, Ignored):
            if decision.is_waiting:
                waiting = tuple(sorted((*waiting, decision.trigger), key=time_order))
            return replace(self, waiting=waiting)
        changed = decision.session
        others = (s for s in self.sessions if s.entry_frame_id != changed.entry_frame_id)
        sessions = sorted((*others, changed), key=lambda s: (s.entry_at, s.exit_at or _NEVER))
        return replace(self, sessions=tuple(sessions), waiting=waiting)


def time_order(trigger: Trigger) -> tuple[datetime, str]:
    """Sort key: by time, then by frame, so that the order of simultaneous triggers is always the same."""
    return (trigger.at, str(trigger.frame_id))
