"""Who waits, who goes first, who is dropped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plate_ocr.domain.admission import Admission, Purpose, Verdict, admit, first

E, X, S, V, C = Purpose.ENTRY, Purpose.EXIT, Purpose.SNAPSHOT, Purpose.VIDEO, Purpose.CALL
ENTER, WAIT, REFUSE, DROP = Verdict.ENTER, Verdict.WAIT, Verdict.REFUSE, Verdict.DROP

PURPOSES = st.sampled_from(Purpose)
QUEUES = st.lists(PURPOSES, max_size=8)


@pytest.mark.parametrize(
    ("queue", "newcomer", "waits", "verdict", "drop"),
    [
        # There is room.
        ([], E, True, ENTER, None),
        ([S, S], S, True, ENTER, None),
        ([E, X], C, False, ENTER, None),
        # Full: the oldest snapshot or video frame makes room for a frame.
        ([S, V, E], E, True, ENTER, 0),
        ([E, V, S], X, True, ENTER, 1),
        ([E, C, S], E, False, ENTER, 2),
        ([V, S, S], V, True, ENTER, 0),
        ([E, X, V], S, True, ENTER, 2),
        # Full of what is never dropped.
        ([E, X, C], E, True, WAIT, None),
        ([E, X, C], X, False, REFUSE, None),
        ([E, X, C], S, True, DROP, None),
        ([C, C, C], V, False, DROP, None),
        # A call drives nobody out.
        ([S, V, S], C, False, REFUSE, None),
        ([S, V, S], C, True, WAIT, None),
    ],
)
def test_admission(
    queue: list[Purpose], newcomer: Purpose, waits: bool, verdict: Verdict, drop: int | None
) -> None:
    assert admit(queue, newcomer, room=3, waits=waits) == Admission(verdict, drop)


@pytest.mark.parametrize(
    ("queue", "index"),
    [([S], 0), ([S, V, C], 0), ([S, E, X], 1), ([C, V, X, E], 2), ([E, S], 0), ([V, C, S, E], 3)],
)
def test_turns(queue: list[Purpose], index: int) -> None:
    assert first(queue) == index


@given(queue=QUEUES, newcomer=PURPOSES, room=st.integers(1, 8), waits=st.booleans())
def test_entries_and_exits_are_never_dropped_and_the_queue_keeps_its_bound(
    queue: list[Purpose], newcomer: Purpose, room: int, waits: bool
) -> None:
    queue = queue[:room]
    answer = admit(queue, newcomer, room=room, waits=waits)
    if answer.drop is not None:
        assert answer.verdict is ENTER
        assert queue[answer.drop] in {S, V}
        assert not {S, V} & set(queue[: answer.drop])
    if newcomer in {E, X}:
        assert answer.verdict in ({ENTER, WAIT} if waits else {ENTER, REFUSE})
    after = len(queue) + (answer.verdict is ENTER) - (answer.drop is not None)
    assert after <= room
