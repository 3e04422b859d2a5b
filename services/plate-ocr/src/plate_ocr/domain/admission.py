"""Who may wait for the engine, who goes first, and who is dropped when the queue is full."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Purpose(Enum):
    """What a picture is for: a frame's purpose (camera.v1), or `CALL` for one that somebody asked about."""

    ENTRY = "entry"
    EXIT = "exit"
    SNAPSHOT = "snapshot"
    VIDEO = "video"
    CALL = "call"


_FIRST = frozenset({Purpose.ENTRY, Purpose.EXIT})
"""A ticket hangs on them: ahead of all others, and never dropped."""

_REPLACEABLE = frozenset({Purpose.SNAPSHOT, Purpose.VIDEO})
"""The camera sends another soon, and the newer one says more."""


class Verdict(Enum):
    """What becomes of a newcomer. `WAIT`: outside the queue, until there is room; `REFUSE`: told to come again."""

    ENTER = "enter"
    WAIT = "wait"
    REFUSE = "refuse"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Admission:
    """`drop`: index of the one that leaves the queue to make room; None when nobody does."""

    verdict: Verdict
    drop: int | None = None


def admit(queue: Sequence[Purpose], newcomer: Purpose, *, room: int, waits: bool) -> Admission:
    """What becomes of `newcomer` before a queue, oldest first, that holds at most `room`.

    In a full queue a frame takes the place of the oldest replaceable one; a replaceable frame that finds none is
    itself the oldest, and is dropped. A call takes nobody's place: calls need no token, and must not be able to
    drive frames out. `waits`: a newcomer that is neither let in nor dropped waits outside, and is not refused.
    """
    if len(queue) < room:
        return Admission(Verdict.ENTER)
    if newcomer is not Purpose.CALL:
        oldest = next((index for index, purpose in enumerate(queue) if purpose in _REPLACEABLE), None)
        if oldest is not None:
            return Admission(Verdict.ENTER, drop=oldest)
    if newcomer in _REPLACEABLE:
        return Admission(Verdict.DROP)
    return Admission(Verdict.WAIT if waits else Verdict.REFUSE)


def first(queue: Sequence[Purpose]) -> int:
    """Index of the one whose turn it is: the oldest entry or exit, else the oldest. The queue is not empty."""
    return next((index for index, purpose in enumerate(queue) if purpose in _FIRST), 0)
