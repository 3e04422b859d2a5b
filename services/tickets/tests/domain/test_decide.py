"""Every row of the decision table in the service's README."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import pytest

from tickets.domain.decide import decide, decision_on
from tickets.domain.plates import Plate
from tickets.domain.sessions import (
    Closed,
    Decision,
    Ignored,
    IgnoredReason,
    Opened,
    Reopened,
    ReviewReason,
    Session,
    SpotHistory,
    TriggerOutcome,
    outcome_of,
)
from tickets.domain.triggers import (
    ClockState,
    Occupancy,
    PictureSource,
    Rules,
    Trigger,
    TriggerKind,
    clock_note,
)

RULES = Rules()
MORNING = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
SEED = UUID(int=7)
ALI, BEN, CARA = (Plate(text, confidence=0.93) for text in ("A12345", "K77310", "R90521"))
BLURRED = replace(ALI, confidence=0.49)


def at(minute: float) -> datetime:
    return MORNING + timedelta(minutes=minute)


def entry(minute: float, plate: Plate | None = ALI, **more: Any) -> Trigger:
    frame_id = uuid5(SEED, f"entry {minute}")
    trigger = Trigger(frame_id, TriggerKind.ENTRY, at(minute), plate, Occupancy.OCCUPIED)
    return replace(trigger, **more)


def leaving(minute: float, plate: Plate | None = None, **more: Any) -> Trigger:
    frame_id = uuid5(SEED, f"exit {minute}")
    occupancy = Occupancy.FREE if plate is None else Occupancy.OCCUPIED
    trigger = Trigger(frame_id, TriggerKind.EXIT, at(minute), plate, occupancy)
    return replace(trigger, **{"picture_source": PictureSource.FETCHED, **more})


def decide_all(*triggers: Trigger, rules: Rules = RULES) -> tuple[SpotHistory, list[Decision]]:
    """The spot after triggers in this order, and all decisions."""
    spot, decisions = SpotHistory(), list[Decision]()
    for trigger in triggers:
        for decision in decide(spot, trigger, rules):
            spot = spot.after(decision)
            decisions.append(decision)
    return spot, decisions


def last_of(*triggers: Trigger, rules: Rules = RULES) -> Decision:
    """The decision on the last trigger."""
    spot, _ = decide_all(*triggers[:-1], rules=rules)
    return decision_on(decide(spot, triggers[-1], rules), triggers[-1])


def sessions_of(spot: SpotHistory) -> list[tuple[str, float, float | None]]:
    """(plate, minute of entry, minute of exit) of each session."""

    def minute(moment: datetime | None) -> float | None:
        return None if moment is None else (moment - MORNING) / timedelta(minutes=1)

    return [
        (s.plate.text if s.plate else "UNKNOWN", minute(s.entry_at) or 0.0, minute(s.exit_at))
        for s in spot.sessions
    ]


def test_an_entry_opens() -> None:
    decision = last_of(entry(0))
    assert decision == Opened(entry(0), Session(entry(0).frame_id, at(0), ALI))


@pytest.mark.parametrize(
    ("trigger", "review"),
    [
        (entry(0, None), ReviewReason.UNREAD_PLATE),
        (entry(0, Plate("", confidence=0.9)), ReviewReason.UNREAD_PLATE),
        (entry(0, BLURRED), ReviewReason.LOW_CONFIDENCE),
        (entry(0, None, failure="the picture does not decode"), ReviewReason.UNREADABLE_PICTURE),
        # A picture that could not be processed says nothing about the spot.
        (entry(0, None, failure="gone", occupancy=Occupancy.FREE), ReviewReason.UNREADABLE_PICTURE),
        (entry(0, None, occupancy=Occupancy.UNKNOWN), ReviewReason.UNREAD_PLATE),
    ],
)
def test_an_unread_plate_opens_unknown_and_asks_for_a_review(trigger: Trigger, review: ReviewReason) -> None:
    decision = last_of(trigger)
    assert isinstance(decision, Opened)
    assert decision.session.plate is None
    assert decision.review is review


def test_a_read_counts_from_the_limit_on() -> None:
    decision = last_of(entry(0, replace(ALI, confidence=0.50)))
    assert isinstance(decision, Opened)
    assert (decision.session.plate is not None, decision.review) == (True, None)


@pytest.mark.parametrize("before", [(), (entry(0), leaving(5)), (entry(0),)])
def test_an_entry_without_a_car_is_ignored(before: tuple[Trigger, ...]) -> None:
    decision = last_of(*before, entry(10, None, occupancy=Occupancy.FREE))
    assert isinstance(decision, Ignored)
    assert (decision.reason, decision.is_waiting) == (IgnoredReason.NO_CAR_DETECTED, False)


def test_a_repeated_entry_is_ignored() -> None:
    decision = last_of(entry(0), entry(1))
    assert isinstance(decision, Ignored)
    assert decision.reason is IgnoredReason.SPOT_ALREADY_OCCUPIED
    assert decision.session is not None
    assert decision.session.entry_frame_id == entry(0).frame_id
    assert decision.notes == ()


def test_another_car_on_an_open_ticket_is_ignored_and_noted() -> None:
    decision = last_of(entry(0), entry(10, BEN))
    assert isinstance(decision, Ignored)
    assert decision.reason is IgnoredReason.SPOT_ALREADY_OCCUPIED
    assert decision.notes == ("another plate than the ticket's: K77310, not A12345",)


@pytest.mark.parametrize("plate", [None, BLURRED, Plate("A12346", confidence=0.9)])
def test_a_plate_that_may_be_the_same_is_not_noted_as_another(plate: Plate | None) -> None:
    decision = last_of(entry(0), entry(10, plate))
    assert isinstance(decision, Ignored)
    assert decision.notes == ()


def test_an_exit_closes() -> None:
    decision = last_of(entry(0), leaving(30))
    assert isinstance(decision, Closed)
    assert (decision.session.entry_at, decision.session.exit_at) == (at(0), at(30))


@pytest.mark.parametrize(
    "trigger",
    [
        leaving(30, ALI),
        leaving(30, Plate("A1234S", confidence=0.9)),  # folds to the same
        leaving(30, Plate("A12346", confidence=0.9)),  # one character off: in doubt it sessions_of
        leaving(30, Plate("12345", confidence=0.9)),  # the code was not seen
        leaving(30, BLURRED),
        leaving(30, replace(BEN, confidence=0.3)),
        leaving(30, Plate("", confidence=0.0)),
        leaving(30, None, is_vehicle_seen=True),
    ],
)
def test_an_exit_while_the_car_is_still_there_is_ignored(trigger: Trigger) -> None:
    spot, decisions = decide_all(entry(0), trigger)
    assert isinstance(decisions[-1], Ignored)
    assert decisions[-1].reason is IgnoredReason.SPOT_STILL_OCCUPIED
    assert sessions_of(spot) == [("A12345", 0, None)]


@pytest.mark.parametrize(
    ("triggers", "outcome"),
    [
        ((entry(0),), TriggerOutcome.OPENED),
        ((entry(0), leaving(30)), TriggerOutcome.CLOSED),
        ((entry(0), leaving(30), entry(35)), TriggerOutcome.REOPENED),
        ((entry(0), entry(1)), TriggerOutcome.IGNORED),
        ((entry(0), leaving(30, ALI)), TriggerOutcome.STILL_OCCUPIED),
        # The ticket is open in these as well, but the exit is from before it: nothing is said about the spot now.
        ((entry(40, BEN), leaving(30)), TriggerOutcome.IGNORED),
        ((entry(0), leaving(5), entry(6), leaving(4)), TriggerOutcome.IGNORED),
    ],
)
def test_only_an_exit_that_shows_the_car_is_answered_still_occupied(
    triggers: tuple[Trigger, ...], outcome: TriggerOutcome
) -> None:
    assert outcome_of(last_of(*triggers)) is outcome


def test_an_unknown_ticket_stays_open_whatever_plate_the_exit_shows() -> None:
    decision = last_of(entry(0, None), leaving(30, BEN))
    assert isinstance(decision, Ignored)
    assert decision.reason is IgnoredReason.SPOT_STILL_OCCUPIED


def test_an_unknown_ticket_closes_when_the_spot_is_empty() -> None:
    assert isinstance(last_of(entry(0, None), leaving(30)), Closed)


def test_an_exit_that_shows_another_car_closes() -> None:
    decision = last_of(entry(0), leaving(30, BEN))
    assert isinstance(decision, Closed)
    assert decision.notes == ("the picture shows another car: K77310",)


@pytest.mark.parametrize(
    "trigger",
    [
        # The camera's own box is where the car was before it left: occupied, but no car was detected.
        leaving(30, None, occupancy=Occupancy.OCCUPIED),
        leaving(30, None, occupancy=Occupancy.UNKNOWN),
        leaving(30, ALI, failure="the picture does not decode"),
    ],
)
def test_an_exit_whose_picture_shows_nothing_closes(trigger: Trigger) -> None:
    assert isinstance(last_of(entry(0), trigger), Closed)


def test_a_decision_by_the_pushed_picture_has_a_note() -> None:
    fallback = PictureSource.PUSHED_FALLBACK
    decision = last_of(entry(0), leaving(30, ALI, picture_source=fallback))
    assert isinstance(decision, Ignored)
    assert decision.reason is IgnoredReason.SPOT_STILL_OCCUPIED
    assert "decided by the pushed picture: no fresh one could be fetched" in decision.notes


@pytest.mark.parametrize("change", [{"plate": None}, {"plate": BEN}, {"plate": ALI, "failure": "no picture"}])
def test_a_ticket_that_was_closed_by_the_pushed_picture_says_so(change: dict[str, Any]) -> None:
    leaves = replace(leaving(30, ALI), picture_source=PictureSource.PUSHED_FALLBACK, **change)
    decision = last_of(entry(0), leaves)
    assert isinstance(decision, Closed)
    assert decision.notes[-1] == "decided by the pushed picture: no fresh one could be fetched"


@pytest.mark.parametrize("before", [(), (entry(0), leaving(5))])
def test_an_exit_without_entry_is_ignored(before: tuple[Trigger, ...]) -> None:
    decision = last_of(*before, leaving(30))
    assert isinstance(decision, Ignored)
    assert (decision.reason, decision.session, decision.is_waiting) == (
        IgnoredReason.NO_OPEN_TICKET,
        None,
        True,
    )


def test_an_exit_that_comes_twice_is_ignored_and_never_closes_the_next_car() -> None:
    again = replace(leaving(30), frame_id=UUID(int=99))
    spot, decisions = decide_all(entry(0), leaving(30), again, entry(30, BEN))
    assert isinstance(decisions[2], Ignored)
    assert (decisions[2].reason, decisions[2].is_waiting) == (IgnoredReason.NO_OPEN_TICKET, False)
    assert sessions_of(spot) == [("A12345", 0, 30), ("K77310", 30, None)]


class TestReopening:
    @pytest.mark.parametrize("minute", [30, 40, 45])
    def test_the_same_plate_within_the_window_reopens(self, minute: float) -> None:
        spot, decisions = decide_all(entry(0), leaving(30), entry(minute))
        assert isinstance(decisions[-1], Reopened)
        assert decisions[-1].earlier_exit_at == at(30)
        assert sessions_of(spot) == [("A12345", 0, None)]

    @pytest.mark.parametrize(
        "back",
        [
            entry(45.1),
            entry(40, BEN),
            entry(40, None),
            entry(40, BLURRED),
            entry(40, Plate("A12346", confidence=0.9)),
            entry(40, Plate("12345", confidence=0.9)),
        ],
    )
    def test_everything_else_is_a_new_ticket(self, back: Trigger) -> None:
        spot, decisions = decide_all(entry(0), leaving(30), back)
        assert isinstance(decisions[-1], Opened)
        assert len(spot.sessions) == 2

    def test_two_unknown_cars_are_two_tickets(self) -> None:
        spot, _ = decide_all(entry(0, None), leaving(30), entry(31, None))
        assert len(spot.sessions) == 2

    def test_only_the_last_ticket_reopens(self) -> None:
        spot, decisions = decide_all(entry(0), leaving(5), entry(6, BEN), leaving(8), entry(9))
        assert isinstance(decisions[-1], Opened)
        assert sessions_of(spot) == [("A12345", 0, 5), ("K77310", 6, 8), ("A12345", 9, None)]

    def test_a_ticket_may_reopen_repeatedly(self) -> None:
        spot, _ = decide_all(entry(0), leaving(5), entry(6), leaving(8), entry(9), leaving(20))
        assert sessions_of(spot) == [("A12345", 0, 20)]

    def test_an_exit_from_before_the_reopening_does_not_close_it_again(self) -> None:
        again = replace(leaving(5), frame_id=UUID(int=99))
        spot, decisions = decide_all(entry(0), leaving(5), entry(6), again)
        assert isinstance(decisions[-1], Ignored)
        assert sessions_of(spot) == [("A12345", 0, None)]


class TestLateAndOutOfOrder:
    def test_the_exit_came_first(self) -> None:
        spot, decisions = decide_all(leaving(30), entry(0))
        assert [type(d) for d in decisions] == [Ignored, Opened, Closed]
        assert sessions_of(spot) == [("A12345", 0, 30)]

    def test_an_exit_that_came_first_is_not_used_for_a_later_entry(self) -> None:
        spot, _ = decide_all(leaving(30), entry(31))
        assert sessions_of(spot) == [("A12345", 31, None)]

    def test_an_exit_that_came_first_but_shows_the_car_leaves_the_ticket_open(self) -> None:
        spot, decisions = decide_all(leaving(30, ALI), entry(0))
        assert sessions_of(spot) == [("A12345", 0, None)]
        assert isinstance(decisions[-1], Ignored)
        assert decisions[-1].reason is IgnoredReason.SPOT_STILL_OCCUPIED

    def test_an_exit_older_than_the_open_ticket_is_ignored(self) -> None:
        decision = last_of(entry(40, BEN), leaving(30))
        assert isinstance(decision, Ignored)
        assert decision.reason is IgnoredReason.OLDER_THAN_LATEST_TICKET

    @pytest.mark.parametrize("late", [(entry(0), leaving(30)), (leaving(30), entry(0))])
    @pytest.mark.parametrize("present", [(entry(40, BEN),), (entry(40, BEN), leaving(50))])
    def test_a_whole_stay_that_came_late(
        self, late: tuple[Trigger, ...], present: tuple[Trigger, ...]
    ) -> None:
        spot, _ = decide_all(*present, *late)
        exit_minute = 50 if len(present) == 2 else None
        assert sessions_of(spot) == [("A12345", 0, 30), ("K77310", 40, exit_minute)]

    def test_the_exit_between_two_cars_came_late(self) -> None:
        spot, decisions = decide_all(entry(0), entry(40, BEN), leaving(30))
        assert [type(d) for d in decisions] == [Opened, Ignored, Closed, Opened]
        assert sessions_of(spot) == [("A12345", 0, 30), ("K77310", 40, None)]

    def test_an_exit_in_the_second_of_its_entry_came_first(self) -> None:
        again = replace(entry(10), frame_id=UUID(int=99))
        spot, decisions = decide_all(leaving(10), entry(10), again)
        assert sessions_of(spot) == [("A12345", 10, 10)]
        assert isinstance(decisions[-1], Ignored)
        assert decisions[-1].reason is IgnoredReason.SPOT_ALREADY_OCCUPIED

    def test_the_next_car_came_in_the_second_of_the_exit(self) -> None:
        spot, _ = decide_all(entry(0), entry(30, BEN), leaving(30))
        assert sessions_of(spot) == [("A12345", 0, 30), ("K77310", 30, None)]

    def test_a_late_entry_inside_a_closed_stay_is_a_repeat(self) -> None:
        decision = last_of(entry(0), leaving(30), entry(10))
        assert isinstance(decision, Ignored)
        assert (decision.reason, decision.is_waiting) == (IgnoredReason.SPOT_ALREADY_OCCUPIED, False)

    def test_a_late_entry_without_its_exit_waits(self) -> None:
        decision = last_of(entry(40, BEN), leaving(50), entry(0))
        assert isinstance(decision, Ignored)
        assert (decision.reason, decision.is_waiting) == (IgnoredReason.OLDER_THAN_LATEST_TICKET, True)

    def test_a_stay_is_not_made_across_another(self) -> None:
        spot, _ = decide_all(entry(20, BEN), leaving(25), leaving(30), entry(0))
        assert sessions_of(spot) == [("K77310", 20, 25)]

    def test_an_exit_is_not_paired_with_an_entry_before_another_stay(self) -> None:
        spot, _ = decide_all(entry(20, BEN), leaving(25), entry(0), entry(40, CARA), leaving(30))
        assert sessions_of(spot) == [("K77310", 20, 25), ("R90521", 40, None)]

    def test_a_trigger_before_the_known_history_changes_nothing(self) -> None:
        known = SpotHistory((Session(UUID(int=1), at(40), BEN),), waiting=(leaving(30),), is_complete=False)
        for trigger in (entry(0), leaving(35)):
            (decision,) = decide(known, trigger, RULES)
            assert isinstance(decision, Ignored)
            assert (decision.reason, decision.is_waiting) == (IgnoredReason.OLDER_THAN_LATEST_TICKET, False)


class TestClockNote:
    @pytest.mark.parametrize("state", [ClockState.OK, ClockState.UNSPECIFIED])
    def test_a_plausible_clock_needs_no_note(self, state: ClockState) -> None:
        assert clock_note(state, timedelta(minutes=-3)) == ""

    @pytest.mark.parametrize(
        ("state", "skew", "note"),
        [
            (
                ClockState.AHEAD,
                timedelta(minutes=11),
                "camera clock 0:11:00 ahead: the time of receipt is used",
            ),
            (
                ClockState.BEHIND,
                timedelta(days=-8),
                "camera clock 8 days, 0:00:00 behind: the time of receipt is used",
            ),
        ],
    )
    def test_an_implausible_clock_is_noted(self, state: ClockState, skew: timedelta, note: str) -> None:
        assert clock_note(state, skew) == note
