"""The session rules: what one trigger changes at its spot."""

from dataclasses import replace

from tickets.domain.plates import Plate, PlateMatch, compare_plates
from tickets.domain.sessions import (
    Closed,
    Decision,
    Ignored,
    IgnoredReason,
    Opened,
    Position,
    PositionKind,
    Reopened,
    ReviewReason,
    Session,
    SpotHistory,
)
from tickets.domain.triggers import Occupancy, PictureSource, Rules, Trigger, TriggerKind


def decide(spot: SpotHistory, trigger: Trigger, rules: Rules) -> tuple[Decision, ...]:
    """The decision about `trigger`, and about the waiting triggers that it completes.

    The decisions are in the order in which they apply, each about another trigger. With all of them applied at most
    one session is open.
    """
    decisions = _decide_one(spot, trigger, rules)
    for decision in decisions:
        spot = spot.after(decision)
    if all(isinstance(decision, Ignored) for decision in decisions):
        return decisions
    return decisions + _decide_waiting(spot, rules)


def decision_on(decisions: tuple[Decision, ...], trigger: Trigger) -> Decision:
    """The one of `decisions` that is about `trigger`."""
    return next(decision for decision in decisions if decision.trigger.frame_id == trigger.frame_id)


def _decide_one(spot: SpotHistory, trigger: Trigger, rules: Rules) -> tuple[Decision, ...]:
    if trigger.kind is TriggerKind.ENTRY:
        return _decide_entry(spot, trigger, rules)
    return _decide_exit(spot, trigger, rules)


def _decide_entry(spot: SpotHistory, trigger: Trigger, rules: Rules) -> tuple[Decision, ...]:
    position = spot.locate(trigger)
    if trigger.occupancy is Occupancy.FREE and not trigger.failure:
        session = position.session if _is_in_session(position) else None
        return (Ignored(trigger, IgnoredReason.NO_CAR_DETECTED, session),)
    match position.kind:
        case PositionKind.IN_OPEN_SESSION | PositionKind.IN_CLOSED_SESSION:
            return (
                Ignored(
                    trigger,
                    IgnoredReason.SPOT_ALREADY_OCCUPIED,
                    position.session,
                    # The exit between the open session's entry and this one may arrive late.
                    is_waiting=position.kind is PositionKind.IN_OPEN_SESSION,
                    notes=_other_plate_note(trigger, position.session, rules),
                ),
            )
        case PositionKind.AFTER_ALL_SESSIONS:
            return (_open(trigger, position.session, rules),)
        case PositionKind.BEFORE_KNOWN_SESSIONS:
            return (Ignored(trigger, IgnoredReason.OLDER_THAN_LATEST_TICKET, position.session),)
        case PositionKind.BETWEEN_SESSIONS:
            return _decide_late_entry(spot, trigger, position, rules)


def _decide_late_entry(
    spot: SpotHistory, trigger: Trigger, position: Position, rules: Rules
) -> tuple[Decision, ...]:
    """An entry before a known session: a ticket only if the exit before that session is known as well."""
    following = position.session
    end = following.entry_at if following is not None else trigger.at
    for waiting in spot.waiting:
        if waiting.kind is TriggerKind.EXIT and trigger.at <= waiting.at <= end:
            return _past_session(trigger, waiting, rules)
    return (Ignored(trigger, IgnoredReason.OLDER_THAN_LATEST_TICKET, following, is_waiting=True),)


def _decide_exit(spot: SpotHistory, trigger: Trigger, rules: Rules) -> tuple[Decision, ...]:
    position = spot.locate(trigger)
    match position.kind:
        case PositionKind.IN_OPEN_SESSION:
            return (_decide_exit_of_open_session(trigger, position.session, rules),)
        case PositionKind.IN_CLOSED_SESSION:
            return (Ignored(trigger, IgnoredReason.NO_OPEN_TICKET, position.session),)
        case PositionKind.AFTER_ALL_SESSIONS:
            return (Ignored(trigger, IgnoredReason.NO_OPEN_TICKET, is_waiting=True),)
        case PositionKind.BEFORE_KNOWN_SESSIONS:
            return (Ignored(trigger, IgnoredReason.OLDER_THAN_LATEST_TICKET, position.session),)
        case PositionKind.BETWEEN_SESSIONS:
            for waiting in spot.waiting:
                is_in_gap = position.gap_start is None or waiting.at >= position.gap_start
                if waiting.kind is TriggerKind.ENTRY and is_in_gap and waiting.at <= trigger.at:
                    return _past_session(waiting, trigger, rules)
            reason = IgnoredReason.OLDER_THAN_LATEST_TICKET
            return (Ignored(trigger, reason, position.session, is_waiting=True),)


def _decide_exit_of_open_session(trigger: Trigger, session: Session | None, rules: Rules) -> Decision:
    assert session is not None
    is_car_present, notes = _is_car_present(trigger, session, rules)
    if is_car_present:
        return Ignored(trigger, IgnoredReason.SPOT_STILL_OCCUPIED, session, notes=notes)
    return Closed(trigger, replace(session, exit_at=trigger.at), notes)


def _is_car_present(trigger: Trigger, session: Session, rules: Rules) -> tuple[bool, tuple[str, ...]]:
    """Whether the exit's picture shows the session's car, with notes. True in doubt: a ticket can be closed later."""
    is_fallback = trigger.picture_source is PictureSource.PUSHED_FALLBACK
    picture_note = ("decided by the pushed picture: no fresh one could be fetched",) if is_fallback else ()
    if trigger.failure:
        return False, ("the picture could not be processed: closed without it", *picture_note)
    if trigger.plate is None and not trigger.is_vehicle_seen:
        return False, picture_note
    is_same, note = _may_be_same_car(trigger.counted_plate(rules), session.plate)
    return is_same, (note, *picture_note)


def _may_be_same_car(at_exit: Plate | None, at_entry: Plate | None) -> tuple[bool, str]:
    """Whether the car in the exit's picture may be the one that entered, with the reason."""
    if at_exit is None:
        return True, "the picture shows a car without a readable plate"
    if at_entry is None:
        return True, f"the picture shows {at_exit.text}; the ticket's own plate is not known"
    match compare_plates(at_exit, at_entry):
        case PlateMatch.SAME:
            return True, f"the picture shows {at_exit.text}"
        case PlateMatch.UNCLEAR:
            return True, f"the picture shows {at_exit.text}, which may be the same car"
        case PlateMatch.DIFFERENT:
            return False, f"the picture shows another car: {at_exit.text}"


def _open(trigger: Trigger, last: Session | None, rules: Rules) -> Decision:
    """A new session, or the last one reopened if its car came back within the reopen window."""
    plate = trigger.counted_plate(rules)
    if _has_come_back(trigger, plate, last, rules):
        assert last is not None
        assert last.exit_at is not None
        return Reopened(trigger, replace(last, exit_at=None, resumed_at=trigger.at), last.exit_at)
    session = Session(entry_frame_id=trigger.frame_id, entry_at=trigger.at, plate=plate)
    return Opened(trigger, session, review=None if plate is not None else _review_reason(trigger))


def _has_come_back(trigger: Trigger, plate: Plate | None, last: Session | None, rules: Rules) -> bool:
    if last is None or last.exit_at is None or last.plate is None or plate is None:
        return False
    is_within_window = trigger.at - last.exit_at <= rules.reopen_window
    return is_within_window and compare_plates(plate, last.plate) is PlateMatch.SAME


def _past_session(entry: Trigger, leaving: Trigger, rules: Rules) -> tuple[Decision, ...]:
    """A complete session before a known one, from two triggers of which at least one arrived late.

    The exit's picture is not considered: it was taken when the exit arrived, after the next car had come.
    """
    opened = _open(entry, None, rules)
    assert isinstance(opened, Opened)
    note = "combined from an entry and an exit of which one arrived late"
    closed = Closed(leaving, replace(opened.session, exit_at=leaving.at), (note,))
    return (replace(opened, notes=(note,)), closed)


def _decide_waiting(spot: SpotHistory, rules: Rules) -> tuple[Decision, ...]:
    """The decisions about waiting triggers after the last session has changed, earliest first."""
    decided: list[Decision] = []
    while (following := _next_waiting(spot)) is not None:
        decisions = _decide_one(spot, following, rules)
        for decision in decisions:
            spot = spot.after(decision)
        decided.extend(decisions)
    return tuple(decided)


def _next_waiting(spot: SpotHistory) -> Trigger | None:
    """The first waiting trigger that closes the last session or follows it."""
    last = spot.last
    if last is None:
        return None
    for waiting in spot.waiting:
        if last.exit_at is None:
            if waiting.kind is TriggerKind.EXIT and waiting.at >= last.earliest_exit_at:
                return waiting
        elif waiting.kind is TriggerKind.ENTRY and waiting.at >= last.exit_at:
            return waiting
    return None


def _review_reason(trigger: Trigger) -> ReviewReason:
    if trigger.failure:
        return ReviewReason.UNREADABLE_PICTURE
    has_text = trigger.plate is not None and bool(trigger.plate.text)
    return ReviewReason.LOW_CONFIDENCE if has_text else ReviewReason.UNREAD_PLATE


def _other_plate_note(trigger: Trigger, session: Session | None, rules: Rules) -> tuple[str, ...]:
    """Only one ticket is open on a spot, so the entry is ignored; the note keeps that it was another car."""
    plate = trigger.counted_plate(rules)
    if plate is None or session is None or session.plate is None:
        return ()
    if compare_plates(plate, session.plate) is not PlateMatch.DIFFERENT:
        return ()
    return (f"another plate than the ticket's: {plate.text}, not {session.plate.text}",)


def _is_in_session(position: Position) -> bool:
    return position.kind in {PositionKind.IN_OPEN_SESSION, PositionKind.IN_CLOSED_SESSION}
