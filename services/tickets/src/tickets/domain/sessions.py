"""Sessions of one spot on its line of time: what stands where a trigger falls."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum, StrEnum
from uuid import UUID

from tickets.domain.plates import Plate
from tickets.domain.triggers import Kind, Trigger

_NEVER = datetime.max.replace(tzinfo=UTC)


class IgnoredReason(StrEnum):
    """Why a trigger changed no ticket; the values are what operators read."""

    SPOT_ALREADY_OCCUPIED = "Spot already occupied"
    NO_CAR_DETECTED = "No car detected"
    SPOT_STILL_OCCUPIED = "Spot still occupied"
    NO_OPEN_TICKET = "No open ticket"
    OLDER_THAN_LATEST_TICKET = "Older than the latest ticket"


class TriggerOutcome(StrEnum):
    """What the camera's side is answered about a trigger."""

    OPENED = "OPENED"
    REOPENED = "REOPENED"
    CLOSED = "CLOSED"
    IGNORED = "IGNORED"
    # An exit whose picture shows the vehicle still in the spot; no other ignored exit is answered so.
    STILL_OCCUPIED = "STILL_OCCUPIED"


class ReviewReason(StrEnum):
    UNREAD_PLATE = "unread_plate"
    LOW_CONFIDENCE = "low_confidence"
    UNREADABLE_PICTURE = "unreadable_picture"


@dataclass(frozen=True, slots=True)
class Session:
    """A car's stay. Known by the frame of its entry: the ticket's number is the store's business."""

    key: UUID
    entry_at: datetime
    # None where no plate could be read: the ticket is UNKNOWN.
    plate: Plate | None
    exit_at: datetime | None = None
    # When it last went on after an exit; None when it never did.
    resumed_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        return self.exit_at is None

    @property
    def since(self) -> datetime:
        """From when on an exit may end it: one before it was reopened ended it already."""
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
    # When the session had ended before it went on.
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
    # The session it ran into, when there is one.
    session: Session | None = None
    # It may still find its counterpart: a late event that precedes it in time.
    is_waiting: bool = False
    notes: tuple[str, ...] = ()


Decision = Opened | Reopened | Closed | Ignored


def outcome_of(decision: Decision) -> TriggerOutcome:
    """What the camera's side is answered. The one place that says so."""
    match decision:
        case Opened():
            return TriggerOutcome.OPENED
        case Reopened():
            return TriggerOutcome.REOPENED
        case Closed():
            return TriggerOutcome.CLOSED
        case Ignored(reason=IgnoredReason.SPOT_STILL_OCCUPIED):
            return TriggerOutcome.STILL_OCCUPIED
        case Ignored():
            return TriggerOutcome.IGNORED


class Where(Enum):
    """Where a moment lies on the spot's line of time."""

    # At or after the entry of the open session.
    IN_OPEN = "in the open session"
    # At or after the end of the last session, or there was none yet.
    AFTER_ALL = "after all sessions"
    IN_CLOSED = "in a closed session"
    # Before a known session, and in none.
    BETWEEN = "between sessions"
    # Before everything that was loaded, where older sessions may be.
    BEYOND = "beyond what is known"


@dataclass(frozen=True, slots=True)
class Place:
    where: Where
    # IN_*: the session itself. AFTER_ALL: the last one. BETWEEN and BEYOND: the next one.
    session: Session | None = None
    # BETWEEN: when the gap begins; None when nothing precedes it.
    gap_start: datetime | None = None


@dataclass(frozen=True, slots=True)
class SpotHistory:
    """What is known of a spot when a trigger comes.

    sessions: in order of entry; they do not overlap and at most the last is open.
    waiting: ignored triggers that may still find their counterpart, in order of time.
    is_complete: False when sessions older than the first may exist.
    """

    sessions: tuple[Session, ...] = ()
    waiting: tuple[Trigger, ...] = ()
    is_complete: bool = True

    @property
    def last(self) -> Session | None:
        return self.sessions[-1] if self.sessions else None

    @property
    def open(self) -> Session | None:
        return self.last if self.last is not None and self.last.is_open else None

    def place(self, trigger: Trigger) -> Place:
        """Where the trigger falls.

        An entry at the very second of an exit follows it; an exit at that second belongs to the session that
        it ended (cameras repeat themselves).
        """
        at, is_exit = trigger.at, trigger.kind is Kind.EXIT
        following: Session | None = None
        for session in reversed(self.sessions):
            if at < session.entry_at:
                following = session
                continue
            if session.exit_at is None:
                is_over = is_exit and at < session.since
                return Place(Where.IN_CLOSED if is_over else Where.IN_OPEN, session)
            if at < session.exit_at or at == session.entry_at or (is_exit and at == session.exit_at):
                return Place(Where.IN_CLOSED, session)
            if following is None:
                return Place(Where.AFTER_ALL, session)
            return Place(Where.BETWEEN, following, gap_start=session.exit_at)
        if following is None:
            return Place(Where.AFTER_ALL)
        return Place(Where.BETWEEN if self.is_complete else Where.BEYOND, following)

    def after(self, decision: Decision) -> "SpotHistory":
        """The history once `decision` is in force."""
        waiting = tuple(t for t in self.waiting if t.frame_id != decision.trigger.frame_id)
        if isinstance(decision, Ignored):
            if decision.is_waiting:
                waiting = tuple(sorted((*waiting, decision.trigger), key=order))
            return replace(self, waiting=waiting)
        others = (s for s in self.sessions if s.key != decision.session.key)
        sessions = sorted((*others, decision.session), key=lambda s: (s.entry_at, s.exit_at or _NEVER))
        return replace(self, sessions=tuple(sessions), waiting=waiting)


def order(trigger: Trigger) -> tuple[datetime, str]:
    """Sorts triggers by time; the frame decides between equals, so that the order is always the same."""
    return (trigger.at, str(trigger.frame_id))
