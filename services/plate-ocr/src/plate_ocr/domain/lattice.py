"""From the recognizer's CTC output to slots: where characters are, and what each may be.

A network trained with CTC gives "blank" most of the time and spikes once a character. A slot is such a spike with its
distribution over the characters, so that a grammar can choose among them later.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from plate_ocr.domain.alphabet import ALPHABET, BLANK, CLASS_COUNT, LOOK_ALIKES, SEPARATOR, RowPosterior

MIN_PRESENCE = 0.1
"""Of non-blank probability in a frame where blank is the likeliest: below it, the tails of neighbouring spikes and the
plate's frame become slots by the dozen; a character that blur nearly erased still shows about twice as much."""
_SPLIT_GLYPH_PRESENCE = 0.5
"""Of the weaker of two look-alikes that touch: one glyph, split between two readings, and two glyphs without a blank
between them are about equally often the cause."""
_CERTAIN_SPIKE = 0.9
"""A glyph split between two readings is never this certain of both."""

_FIRST, _END = BLANK + 1, SEPARATOR


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """A position at which a character is, or may be.

    `distribution`: (36,) over `ALPHABET`, sums to 1: which character, if there is one. `presence`: 0 to 1, that there
    is one. `row`: from 0 at the top. `x`: of its peak, 0 to 1 from left to right. `is_greedy`: it is part of the
    greedy reading.
    """

    distribution: NDArray[np.float64]
    presence: float
    row: int
    x: float
    is_greedy: bool

    @property
    def top(self) -> str:
        return ALPHABET[int(self.distribution.argmax())]


@dataclass(frozen=True, slots=True)
class Boundary:
    """Between two neighbouring slots. `probability`: that code and number are split here; 1 where a row ends."""

    probability: float
    is_row_break: bool


@dataclass(frozen=True, eq=False)
class Lattice:
    """All slots of a plate in reading order. `boundaries`: one fewer, `boundaries[i]` follows `slots[i]`."""

    slots: tuple[Slot, ...]
    boundaries: tuple[Boundary, ...]

    @property
    def raw(self) -> str:
        """The greedy reading, before any grammar; rows are joined by a space."""
        rows: dict[int, str] = {}
        for slot in self.slots:
            if slot.is_greedy:
                rows[slot.row] = rows.get(slot.row, "") + slot.top
        return " ".join(rows[row] for row in sorted(rows))

    @cached_property
    def distributions(self) -> NDArray[np.float64]:
        """(slots, 36)."""
        return np.array([slot.distribution for slot in self.slots]).reshape(-1, len(ALPHABET))

    @cached_property
    def presences(self) -> NDArray[np.float64]:
        """(slots,)."""
        return np.array([slot.presence for slot in self.slots], dtype=np.float64)


def build_lattice(rows: Sequence[RowPosterior]) -> Lattice:
    """Slots and boundaries of the rows of one plate, top to bottom.

    Raises: ValueError: a row has another shape than `RowPosterior` says.
    """
    slots: list[Slot] = []
    boundaries: list[Boundary] = []
    for row, posterior in enumerate(rows):
        if posterior.ndim != 2 or posterior.shape[1] != CLASS_COUNT:
            raise ValueError(f"a row's probabilities are (T, {CLASS_COUNT}), not {posterior.shape}")
        probabilities = posterior.astype(np.float64)
        peaks = list(_row_slots(probabilities, row))
        if slots and peaks:
            boundaries.append(Boundary(1.0, is_row_break=True))
        boundaries += [
            Boundary(_separation(probabilities, left, right), is_row_break=False)
            for (left, _), (right, _) in pairwise(peaks)
        ]
        slots += [slot for _, slot in peaks]
    return Lattice(tuple(slots), tuple(boundaries))


@dataclass(frozen=True, slots=True)
class _Run:
    """Frames `start` to `end` (excluded) in which the same class is the likeliest. `best`: 0 is blank."""

    start: int
    end: int
    best: int


def _row_slots(probabilities: NDArray[np.float64], row: int) -> Iterator[tuple[int, Slot]]:
    """Peak frame and slot of each character of the row, and of each that may be one."""
    frames = len(probabilities)
    if not frames:
        return
    character_mass = probabilities[:, _FIRST:_END].sum(axis=1)
    runs = _runs(probabilities, character_mass)
    for place, run in enumerate(runs):
        if run.best in {BLANK, SEPARATOR}:
            continue
        segment = slice(run.start, run.end)
        distribution = probabilities[segment, _FIRST:_END].sum(axis=0)
        peak = run.start + int(character_mass[segment].argmax())
        presence = min(float(character_mass[peak]), 1.0)
        is_greedy = run.best > 0
        if is_greedy and _is_split_glyph(probabilities, runs, place):
            presence = min(presence, _SPLIT_GLYPH_PRESENCE)
        slot = Slot(distribution / distribution.sum(), presence, row, (peak + 0.5) / frames, is_greedy)
        if is_greedy or slot.top not in _adjacent_characters(runs, place):
            yield peak, slot


def _runs(probabilities: NDArray[np.float64], character_mass: NDArray[np.float64]) -> list[_Run]:
    """The best path, collapsed. Blank frames with notable character probability are runs of their own: `best` < 0."""
    best = probabilities.argmax(axis=1)
    best = np.where((best == BLANK) & (character_mass >= MIN_PRESENCE), -1, best)
    changes = np.flatnonzero(np.diff(best)) + 1
    edges = [0, *changes.tolist(), len(best)]
    return [_Run(start, end, int(best[start])) for start, end in pairwise(edges)]


def _adjacent_characters(runs: Sequence[_Run], place: int) -> set[str]:
    """Characters of the spikes before and after: the same character between them is the tail of a spike."""
    beside = (runs[i] for i in (place - 1, place + 1) if 0 <= i < len(runs))
    return {ALPHABET[run.best - 1] for run in beside if _FIRST <= run.best < _END}


def _is_split_glyph(probabilities: NDArray[np.float64], runs: Sequence[_Run], place: int) -> bool:
    """Whether the run touches a stronger one of a look-alike, so that together they may be one glyph."""
    run = runs[place]
    strength = probabilities[run.start : run.end, run.best].max()
    if strength >= _CERTAIN_SPIKE:
        return False
    for other_place in (place - 1, place + 1):
        if not 0 <= other_place < len(runs):
            continue
        other = runs[other_place]
        if not _FIRST <= other.best < _END or not LOOK_ALIKES[run.best - 1, other.best - 1]:
            continue
        other_strength = probabilities[other.start : other.end, other.best].max()
        if other_strength > strength or (other_strength == strength and other_place < place):
            return True
    return False


def _separation(probabilities: NDArray[np.float64], left: int, right: int) -> float:
    """The probability that code and number are split between two peaks: the strongest separator in between."""
    between = probabilities[left + 1 : right, SEPARATOR]
    return min(float(between.max()), 1.0) if between.size else 0.0
