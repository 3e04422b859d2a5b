"""What the entries and exits of a spot say about it."""

from typing import Any

import pytest

from tickets.domain.decide import decide, decision_on
from tickets.domain.sessions import SpotHistory
from tickets.domain.spot_state import SpotCounts, SpotState, SpotStatus, count_spots, spot_state_after
from tickets.domain.triggers import Occupancy, Trigger

from .test_decide import ALI, BEN, RULES, at, entry, leaving

OCCUPIED, FREE, UNKNOWN = SpotStatus.OCCUPIED, SpotStatus.FREE, SpotStatus.UNKNOWN


def states(*triggers: Trigger) -> list[tuple[SpotStatus, Any]]:
    """The state after each trigger, with the minute that it follows from."""
    spot, state, found = SpotHistory(), SpotState(), []
    for trigger in triggers:
        decisions = decide(spot, trigger, RULES)
        for decision in decisions:
            spot = spot.after(decision)
        state = spot_state_after(state, spot, decision_on(decisions, trigger))
        found.append((state.status, None if state.at is None else (state.at - at(0)).total_seconds() / 60))
    return found


@pytest.mark.parametrize(
    ("triggers", "expected"),
    [
        pytest.param([entry(0)], [(OCCUPIED, 0)], id="entry"),
        pytest.param([entry(0), leaving(9)], [(OCCUPIED, 0), (FREE, 9)], id="entry and exit"),
        pytest.param([entry(0), leaving(9, ALI)], [(OCCUPIED, 0), (OCCUPIED, 0)], id="exit, still occupied"),
        pytest.param([entry(0), entry(5, BEN)], [(OCCUPIED, 0), (OCCUPIED, 0)], id="entry, already occupied"),
        pytest.param(
            [entry(0), leaving(9), entry(12)], [(OCCUPIED, 0), (FREE, 9), (OCCUPIED, 12)], id="reopened"
        ),
        pytest.param([entry(3, None, occupancy=Occupancy.FREE)], [(FREE, 3)], id="entry without a car"),
        pytest.param([leaving(3)], [(FREE, 3)], id="exit without a ticket"),
        pytest.param([leaving(3, ALI)], [(UNKNOWN, 3)], id="exit without a ticket, plate shown"),
        pytest.param(
            [leaving(3, is_vehicle_seen=True)], [(UNKNOWN, 3)], id="exit without a ticket, car shown"
        ),
        pytest.param(
            [leaving(3, ALI), entry(9), leaving(12)],
            [(UNKNOWN, 3), (OCCUPIED, 9), (FREE, 12)],
            id="unknown until the next entry",
        ),
        pytest.param(
            [entry(0), leaving(9), leaving(20, BEN)],
            [(OCCUPIED, 0), (FREE, 9), (UNKNOWN, 20)],
            id="a second exit with a car",
        ),
        pytest.param(
            [entry(30), leaving(40), leaving(50, BEN), leaving(20)],
            [(OCCUPIED, 30), (FREE, 40), (UNKNOWN, 50), (UNKNOWN, 50)],
            id="a late exit replaces nothing",
        ),
        pytest.param(
            [entry(30), leaving(20), entry(10, BEN)],
            [(OCCUPIED, 30), (OCCUPIED, 30), (OCCUPIED, 30)],
            id="a late session before the open one",
        ),
        pytest.param(
            [leaving(20), entry(10)], [(FREE, 20), (FREE, 20)], id="a late entry closed by its waiting exit"
        ),
    ],
)
def test_the_state_follows_the_entries_and_exits(
    triggers: list[Trigger], expected: list[tuple[SpotStatus, int]]
) -> None:
    assert states(*triggers) == expected


@pytest.mark.parametrize(
    ("number_of_parking", "known", "occupied", "free", "expected"),
    [
        (0, 0, 0, 0, (0, 0, 0, 0)),
        (8, 0, 0, 0, (8, 0, 0, 8)),
        (8, 5, 2, 3, (8, 2, 3, 3)),
        (8, 8, 5, 3, (8, 5, 3, 0)),
        # More spots than are registered have sent something.
        (2, 5, 2, 3, (5, 2, 3, 0)),
        (0, 3, 1, 1, (3, 1, 1, 1)),
        # A replica of the release before has opened a ticket on a FREE spot.
        (0, 2, 1, 2, (2, 1, 1, 0)),
    ],
)
def test_spots_are_counted(
    number_of_parking: int, known: int, occupied: int, free: int, expected: tuple[int, int, int, int]
) -> None:
    counts = count_spots(number_of_parking, known, occupied, free)
    assert (counts.total, counts.occupied, counts.free, counts.unknown) == expected
    assert counts + counts == SpotCounts(2 * expected[0], 2 * expected[1], 2 * expected[2])
