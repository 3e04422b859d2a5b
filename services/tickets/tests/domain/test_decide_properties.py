from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from tickets.domain.decide import decide
from tickets.domain.plates import Plate
from tickets.domain.sessions import Closed, Decision, Ignored, Opened, Reopened, SpotHistory
from tickets.domain.triggers import Occupancy, PictureSource, Rules, Trigger, TriggerKind

RULES = Rules()
START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
PLATES = [None, *(Plate(t, confidence=c) for t in ("A12345", "K77310", "R90521") for c in (0.9, 0.3))]

triggers = st.lists(
    st.builds(
        Trigger,
        frame_id=st.integers(1, 2**64).map(lambda n: UUID(int=n)),
        kind=st.sampled_from(TriggerKind),
        # Few distinct minutes, so that equal times and collisions are common.
        at=st.integers(0, 40).map(lambda minute: START + timedelta(minutes=minute)),
        plate=st.sampled_from(PLATES),
        occupancy=st.sampled_from(Occupancy),
        is_vehicle_seen=st.booleans(),
        picture_source=st.sampled_from(PictureSource),
        failure=st.sampled_from(["", "", "", "broken"]),
    ),
    max_size=14,
    unique_by=lambda trigger: trigger.frame_id,
)


def play(sequence: list[Trigger]) -> tuple[list[SpotHistory], list[Decision]]:
    histories, decisions = [SpotHistory()], list[Decision]()
    for trigger in sequence:
        spot = histories[-1]
        for decision in decide(spot, trigger, RULES):
            spot = spot.after(decision)
            decisions.append(decision)
        histories.append(spot)
    return histories, decisions


@settings(max_examples=400)
@given(triggers)
def test_sessions_never_overlap_and_only_the_last_is_open(sequence: list[Trigger]) -> None:
    histories, _ = play(sequence)
    for spot in histories:
        for session in spot.sessions:
            assert session.exit_at is None or session.entry_at <= session.exit_at
        for earlier, later in zip(spot.sessions, spot.sessions[1:], strict=False):
            assert earlier.exit_at is not None
            assert earlier.exit_at <= later.entry_at


@settings(max_examples=400)
@given(triggers)
def test_every_trigger_is_decided_and_none_opens_or_closes_twice(sequence: list[Trigger]) -> None:
    _, decisions = play(sequence)
    assert {d.trigger.frame_id for d in decisions} == {t.frame_id for t in sequence}
    effects = [d.trigger.frame_id for d in decisions if not isinstance(d, Ignored)]
    assert len(effects) == len(set(effects))
    is_open: dict[UUID, bool] = {}
    for decision in decisions:
        match decision:
            case Opened():
                assert decision.session.entry_frame_id not in is_open
                assert decision.session.entry_frame_id == decision.trigger.frame_id
                is_open[decision.session.entry_frame_id] = True
            case Reopened():
                assert is_open[decision.session.entry_frame_id] is False
                is_open[decision.session.entry_frame_id] = True
            case Closed():
                assert is_open[decision.session.entry_frame_id] is True
                is_open[decision.session.entry_frame_id] = False
            case Ignored():
                continue
        assert sum(is_open.values()) <= 2  # a stay in the past is opened and closed at once
    histories, _ = play(sequence)
    assert sum(is_open.values()) == sum(s.is_open for s in histories[-1].sessions)


@settings(max_examples=200)
@given(triggers)
def test_the_same_sequence_always_has_the_same_result(sequence: list[Trigger]) -> None:
    assert play(sequence) == play(list(sequence))


@settings(max_examples=300)
@given(triggers, st.data())
def test_an_event_repeated_with_a_new_id_opens_no_ticket(
    sequence: list[Trigger], data: st.DataObject
) -> None:
    """In order of time; each event at a time of its own."""
    ordered = sorted({t.at: t for t in sequence}.values(), key=lambda t: t.at)
    if not ordered:
        return
    repeated = data.draw(st.integers(0, len(ordered) - 1))
    copy_of = ordered[repeated]
    again = Trigger(
        **{
            **{name: getattr(copy_of, name) for name in Trigger.__dataclass_fields__},
            "frame_id": UUID(int=2**100),
        }
    )
    position = data.draw(st.integers(repeated + 1, len(ordered)))
    with_repeat = [*ordered[:position], again, *ordered[position:]]
    assert _stays(play(with_repeat)[0][-1]) == _stays(play(ordered)[0][-1])


def _stays(spot: SpotHistory) -> list[tuple[datetime, datetime | None, str]]:
    return [(s.entry_at, s.exit_at, s.plate.text if s.plate else "") for s in spot.sessions]


@settings(max_examples=600)
@given(st.integers(1, 5), st.booleans(), st.data())
def test_late_entries_result_in_the_same_sessions(cars: int, is_last_gone: bool, data: st.DataObject) -> None:
    """The guarantee in the README: exits in order among themselves, entries in any order."""
    minutes = sorted(data.draw(st.sets(st.integers(0, 300), min_size=2 * cars, max_size=2 * cars)))
    in_order = [_nth(n, minute) for n, minute in enumerate(minutes)][: None if is_last_gone else -1]
    arrival = data.draw(st.permutations(in_order))
    exits = iter([t for t in in_order if t.kind is TriggerKind.EXIT])
    arrival = [next(exits) if t.kind is TriggerKind.EXIT else t for t in arrival]
    assert _stays(play(arrival)[0][-1]) == _stays(play(in_order)[0][-1])
    assert len(play(in_order)[0][-1].sessions) == cars


def _nth(n: int, minute: int) -> Trigger:
    """Entry and exit alternating, every car with a plate of its own."""
    car = n // 2
    return Trigger(
        frame_id=UUID(int=n + 1),
        kind=TriggerKind.EXIT if n % 2 else TriggerKind.ENTRY,
        at=START + timedelta(minutes=minute),
        plate=None if n % 2 else Plate(f"{'AKRTX'[car]}{car}{car + 3}{car + 1}7{car}", confidence=0.9),
        occupancy=Occupancy.FREE if n % 2 else Occupancy.OCCUPIED,
    )
