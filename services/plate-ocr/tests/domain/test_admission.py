"""Which pictures wait, which is read first, which is dropped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plate_ocr.domain.admission import Admission, Decision, Purpose, admit, next_index

E, X, S, V, C = Purpose.ENTRY, Purpose.EXIT, Purpose.SNAPSHOT, Purpose.VIDEO, Purpose.CALL
ENQUEUE, WAIT, REFUSE, DROP = Decision.ENQUEUE, Decision.WAIT, Decision.REFUSE, Decision.DROP

PURPOSES = st.sampled_from(Purpose)
QUEUES = st.lists(PURPOSES, max_size=8)


@pytest.mark.parametrize(
    ("queue", "purpose", "can_wait", "decision", "drop_index"),
    [
        # There is a free place.
        ([], E, True, ENQUEUE, None),
        ([S, S], S, True, ENQUEUE, None),
        ([E, X], C, False, ENQUEUE, None),
        # Full: a frame takes the place of the oldest snapshot or video frame.
        ([S, V, E], E, True, ENQUEUE, 0),
        ([E, V, S], X, True, ENQUEUE, 1),
        ([E, C, S], E, False, ENQUEUE, 2),
        ([V, S, S], V, True, ENQUEUE, 0),
        ([E, X, V], S, True, ENQUEUE, 2),
        # Full of what is never dropped.
        ([E, X, C], E, True, WAIT, None),
        ([E, X, C], X, False, REFUSE, None),
        ([E, X, C], S, True, DROP, None),
        ([C, C, C], V, False, DROP, None),
        # A call takes no other picture's place.
        ([S, V, S], C, False, REFUSE, None),
        ([S, V, S], C, True, WAIT, None),
    ],
)
def test_admission(
    queue: list[Purpose], purpose: Purpose, can_wait: bool, decision: Decision, drop_index: int | None
) -> None:
    assert admit(queue, purpose, capacity=3, can_wait=can_wait) == Admission(decision, drop_index)


@pytest.mark.parametrize(
    ("queue", "index"),
    [([S], 0), ([S, V, C], 0), ([S, E, X], 1), ([C, V, X, E], 2), ([E, S], 0), ([V, C, S, E], 3)],
)
def test_entries_and_exits_are_read_first_then_the_oldest(queue: list[Purpose], index: int) -> None:
    assert next_index(queue) == index


@given(queue=QUEUES, purpose=PURPOSES, capacity=st.integers(1, 8), can_wait=st.booleans())
def test_entries_and_exits_are_never_dropped_and_the_queue_keeps_its_bound(
    queue: list[Purpose], purpose: Purpose, capacity: int, can_wait: bool
) -> None:
    queue = queue[:capacity]
    answer = admit(queue, purpose, capacity=capacity, can_wait=can_wait)
    if answer.drop_index is not None:
        assert answer.decision is ENQUEUE
        assert queue[answer.drop_index] in {S, V}
        assert not {S, V} & set(queue[: answer.drop_index])
    if purpose in {E, X}:
        assert answer.decision in ({ENQUEUE, WAIT} if can_wait else {ENQUEUE, REFUSE})
    after = len(queue) + (answer.decision is ENQUEUE) - (answer.drop_index is not None)
    assert after <= capacity
