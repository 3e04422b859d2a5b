"""The session state machine: what one trigger means for its spot."""

from dataclasses import replace

from tickets.domain.plates import Likeness, Plate, likeness
from tickets.domain.sessions import (
    Closed,
    Decision,
    Ignored,
    IgnoredReason,
    Opened,
    Place,
    Reopened,
    ReviewReason,
    Session,
    SpotHistory,
    Where,
)
from tickets.domain.triggers import Kind, Occupancy, PictureSource, Rules, Trigger


def decide(spot: SpotHistory, trigger: Trigger, rules: Rules) -> tuple[Decision, ...]:
    """What `trigger` comes to, and what triggers that waited for it come to now.

    The decisions stand in the order in which they take force, each about another trigger. At most one session
    is open when all are in force.
    """
    decisions = _enter(spot, trigger, rules) if trigger.kind is Kind.ENTRY else _leave(spot, trigger, rules)
    for decision in decisions:
        spot = spot.after(decision)
    if all(isinstance(decision, Ignored) for decision in decisions):
        return decisions
    return decisions + _settle(spot, rules)


def decision_on(decisions: tuple[Decision, ...], trigger: Trigger) -> Decision:
    """The one of `decisions` that is about `trigger`."""
    return next(decision for decision in decisions if decision.trigger.frame_id == trigger.frame_id)


def _enter(spot: SpotHistory, trigger: Trigger, rules: Rules) -> tuple[Decision, ...]:
    place = spot.place(trigger)
    if trigger.occupancy is Occupancy.FREE and not trigger.failure:
        return (
            Ignored(trigger, IgnoredReason.NO_CAR_DETECTED, place.session if _is_inside(place) else None),
        )
    match place.where:
        case Where.IN_OPEN | Where.IN_CLOSED:
            # On an open ticket it waits: the exit between the two may be late.
            is_open = place.where is Where.IN_OPEN
            notes = _differing_plate(trigger, place.session, rules)
            return (
                Ignored(
                    trigger,
                    IgnoredReason.SPOT_ALREADY_OCCUPIED,
                    place.session,
                    is_waiting=is_open,
                    notes=notes,
                ),
            )
        case Where.AFTER_ALL:
            return (_open(trigger, place.session, rules),)
        case Where.BEYOND:
            return (Ignored(trigger, IgnoredReason.OLDER_THAN_LATEST_TICKET, place.session),)
        case Where.BETWEEN:
            return _enter_late(spot, trigger, place, rules)


def _enter_late(spot: SpotHistory, trigger: Trigger, place: Place, rules: Rules) -> tuple[Decision, ...]:
    """An entry before a known session: a ticket only when the exit before that session is known too."""
    following = place.session
    end = following.entry_at if following is not None else trigger.at
    for waiting in spot.waiting:
        if waiting.kind is Kind.EXIT and trigger.at <= waiting.at <= end:
            return _stay(trigger, waiting, rules)
    return (Ignored(trigger, IgnoredReason.OLDER_THAN_LATEST_TICKET, following, is_waiting=True),)


def _leave(spot: SpotHistory, trigger: Trigger, rules: Rules) -> tuple[Decision, ...]:
    place = spot.place(trigger)
    match place.where:
        case Where.IN_OPEN:
            return (_leave_open(trigger, place.session, rules),)
        case Where.IN_CLOSED:
            return (Ignored(trigger, IgnoredReason.NO_OPEN_TICKET, place.session),)
        case Where.AFTER_ALL:
            return (Ignored(trigger, IgnoredReason.NO_OPEN_TICKET, is_waiting=True),)
        case Where.BEYOND:
            return (Ignored(trigger, IgnoredReason.OLDER_THAN_LATEST_TICKET, place.session),)
        case Where.BETWEEN:
            for waiting in spot.waiting:
                is_after_gap_start = place.gap_start is None or waiting.at >= place.gap_start
                if waiting.kind is Kind.ENTRY and is_after_gap_start and waiting.at <= trigger.at:
                    return _stay(waiting, trigger, rules)
            return (Ignored(trigger, IgnoredReason.OLDER_THAN_LATEST_TICKET, place.session, is_waiting=True),)


def _leave_open(trigger: Trigger, session: Session | None, rules: Rules) -> Decision:
    assert session is not None
    stands, notes = _car_still_stands(trigger, session, rules)
    if stands:
        return Ignored(trigger, IgnoredReason.SPOT_STILL_OCCUPIED, session, notes=notes)
    return Closed(trigger, replace(session, exit_at=trigger.at), notes)


def _car_still_stands(trigger: Trigger, session: Session, rules: Rules) -> tuple[bool, tuple[str, ...]]:
    """Whether the exit's picture shows the session's car. In doubt it does: tickets can be closed later."""
    is_fallback = trigger.picture_source is PictureSource.PUSHED_FALLBACK
    judged_by = ("judged by the pushed picture: the camera gave no fresh one",) if is_fallback else ()
    if trigger.failure:
        return False, ("the picture could not be looked at: the camera's word counts", *judged_by)
    if trigger.plate is None and not trigger.is_vehicle_seen:
        return False, judged_by
    is_same, note = _is_same_car(trigger.read(rules), session.plate)
    return is_same, (note, *judged_by)


def _is_same_car(standing: Plate | None, entered: Plate | None) -> tuple[bool, str]:
    """Whether the car that stands there may be the one that entered, and why."""
    if standing is None:
        return True, "a car without a readable plate stands there"
    if entered is None:
        return True, f"{standing.text} stands there; the ticket's own plate is not known"
    match likeness(standing, entered):
        case Likeness.SAME:
            return True, f"{standing.text} stands there"
        case Likeness.UNCLEAR:
            return True, f"{standing.text} stands there, which may be the same car"
        case Likeness.DIFFERENT:
            return False, f"another car stands there: {standing.text}"


def _open(trigger: Trigger, last: Session | None, rules: Rules) -> Decision:
    """A new session, or the last one again when its car came back soon."""
    plate = trigger.read(rules)
    if _is_back(trigger, plate, last, rules):
        assert last is not None
        assert last.exit_at is not None
        return Reopened(trigger, replace(last, exit_at=None, resumed_at=trigger.at), last.exit_at)
    session = Session(key=trigger.frame_id, entry_at=trigger.at, plate=plate)
    return Opened(trigger, session, review=None if plate is not None else _review_reason(trigger))


def _is_back(trigger: Trigger, plate: Plate | None, last: Session | None, rules: Rules) -> bool:
    if last is None or last.exit_at is None or last.plate is None or plate is None:
        return False
    is_soon = trigger.at - last.exit_at <= rules.reopen_window
    return is_soon and likeness(plate, last.plate) is Likeness.SAME


def _stay(entry: Trigger, leaving: Trigger, rules: Rules) -> tuple[Decision, ...]:
    """A whole session in the past, made of two triggers of which at least one came late.

    Nothing is asked of the exit's picture: it was taken when the exit came, which is after the next car did.
    """
    opened = _open(entry, None, rules)
    assert isinstance(opened, Opened)
    note = "entry and exit were put together after the event: one came late"
    closed = Closed(leaving, replace(opened.session, exit_at=leaving.at), (note,))
    return (replace(opened, notes=(note,)), closed)


def _settle(spot: SpotHistory, rules: Rules) -> tuple[Decision, ...]:
    """What waiting triggers come to once the last session has changed, earliest first."""
    settled: list[Decision] = []
    while (following := _next_waiting(spot)) is not None:
        decide_one = _enter if following.kind is Kind.ENTRY else _leave
        decisions = decide_one(spot, following, rules)
        for decision in decisions:
            spot = spot.after(decision)
        settled.extend(decisions)
    return tuple(settled)


def _next_waiting(spot: SpotHistory) -> Trigger | None:
    """The first waiting trigger that the last session now has a use for."""
    last = spot.last
    for waiting in spot.waiting:
        if last is None:
            continue
        if last.exit_at is None and waiting.kind is Kind.EXIT and waiting.at >= last.since:
            return waiting
        if last.exit_at is not None and waiting.kind is Kind.ENTRY and waiting.at >= last.exit_at:
            return waiting
    return None


def _review_reason(trigger: Trigger) -> ReviewReason:
    if trigger.failure:
        return ReviewReason.UNREADABLE_PICTURE
    has_guess = trigger.plate is not None and bool(trigger.plate.text)
    return ReviewReason.LOW_CONFIDENCE if has_guess else ReviewReason.UNREAD_PLATE


def _differing_plate(trigger: Trigger, session: Session | None, rules: Rules) -> tuple[str, ...]:
    """One ticket a spot, so the entry is ignored; that it was another car must not get lost."""
    plate = trigger.read(rules)
    if plate is None or session is None or session.plate is None:
        return ()
    if likeness(plate, session.plate) is not Likeness.DIFFERENT:
        return ()
    return (f"another plate than the ticket's: {plate.text}, not {session.plate.text}",)


def _is_inside(place: Place) -> bool:
    return place.where in {Where.IN_OPEN, Where.IN_CLOSED}
