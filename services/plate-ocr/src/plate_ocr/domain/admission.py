"""The queue's rules: which pictures wait for the engine, which is read next, and which is dropped."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Purpose(Enum):
    """What a picture is for: a frame's purpose (camera.v1), or `CALL` for one that a caller waits for."""

    ENTRY = "entry"
    EXIT = "exit"
    SNAPSHOT = "snapshot"
    VIDEO = "video"
    CALL = "call"


_PRIORITY = frozenset({Purpose.ENTRY, Purpose.EXIT})
"""A ticket depends on them: read before all others, and never dropped."""

_DROPPABLE = frozenset({Purpose.SNAPSHOT, Purpose.VIDEO})
"""The camera sends another soon, and the newer one is more useful."""


class Decision(Enum):
    """What happens to a new picture. `WAIT`: outside the queue, until there is a place."""

    ENQUEUE = "enqueue"
    WAIT = "wait"
    REFUSE = "refuse"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Admission:
    """`drop_index`: of the queued picture that is dropped to make a place; None for none."""

    decision: Decision
    drop_index: int | None = None


def admit(queue: Sequence[Purpose], purpose: Purpose, *, capacity: int, can_wait: bool) -> Admission:
    """What happens to a new picture of that purpose. `queue`: the waiting ones, oldest first.

    In a full queue a frame takes the place of the oldest droppable one; a droppable frame that finds none is itself
    the oldest, and is dropped. A call takes no other picture's place: calls need no token, and must not be able to
    drive frames out. `can_wait`: a picture that is neither queued nor dropped waits instead of being refused.
    """
    if len(queue) < capacity:
        return Admission(Decision.ENQUEUE)
    if purpose is not Purpose.CALL:
        oldest = next((index for index, queued in enumerate(queue) if queued in _DROPPABLE), None)
        if oldest is not None:
            return Admission(Decision.ENQUEUE, drop_index=oldest)
    if purpose in _DROPPABLE:
        return Admission(Decision.DROP)
    return Admission(Decision.WAIT if can_wait else Decision.REFUSE)


def next_index(queue: Sequence[Purpose]) -> int:
    """Index of the picture to read next: the oldest entry or exit, else the oldest. The queue is not empty."""
    return next((index for index, purpose in enumerate(queue) if purpose in _PRIORITY), 0)
