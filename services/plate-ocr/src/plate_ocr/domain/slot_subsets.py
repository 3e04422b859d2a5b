"""Which of a lattice's slots hold a character: a bounded number of ways to include or exclude the doubtful ones.

A country's letter in the band, a character of the state's slogan or a screw is a slot at the edge; a character that
blur nearly erased is a weak one in the middle.
"""

from collections.abc import Container
from dataclasses import dataclass
from itertools import pairwise, product
from math import log

from plate_ocr.domain.lattice import Lattice

CERTAIN_PRESENCE = 0.97
"""Presence from which a slot in the middle of a row is a character."""
CERTAIN_PRESENCE_AT_EDGE = 0.995
"""The same at the ends of a row, where marks that are not part of the number are."""
MAX_OPTIONAL = 5
MAX_SUBSETS = 8
_MIN_SHARE = 1e-4  # of the likeliest subset; less cannot outweigh the influence of a grammar
_MIN_PROBABILITY = 1e-6


@dataclass(frozen=True, slots=True)
class Subset:
    """The included slots, in reading order.

    `log_presence`: nats, that these and no others of the optional ones are characters. `presences`: of each. `cuts`:
    between neighbours, the probability of a gap; `row_breaks`: whether a row ends there.
    """

    slots: tuple[int, ...]
    log_presence: float
    presences: tuple[float, ...]
    cuts: tuple[float, ...]
    row_breaks: tuple[bool, ...]


def subsets_of(lattice: Lattice, lengths: Container[int]) -> tuple[list[Subset], float]:
    """At most `MAX_SUBSETS` of those lengths, likeliest first, and their share of all combinations."""
    optional = _optional(lattice)
    certain = {i for i, slot in enumerate(lattice.slots) if slot.is_greedy and i not in optional}
    choices = []
    for taken in product((True, False), repeat=len(optional)):
        likelihood = 1.0
        for index, is_taken in zip(optional, taken, strict=True):
            presence = min(max(lattice.slots[index].presence, _MIN_PROBABILITY), 1 - _MIN_PROBABILITY)
            likelihood *= presence if is_taken else 1 - presence
        slots = sorted(certain.union(i for i, is_taken in zip(optional, taken, strict=True) if is_taken))
        if len(slots) in lengths:
            choices.append((likelihood, tuple(slots)))
    choices.sort(key=lambda choice: choice[0], reverse=True)
    kept = [c for c in choices[:MAX_SUBSETS] if c[0] >= _MIN_SHARE * choices[0][0]]
    return [_subset(lattice, slots, log(p)) for p, slots in kept], sum(p for p, _ in kept)


def _optional(lattice: Lattice) -> list[int]:
    """The slots to decide about, the most doubtful first."""
    slots = lattice.slots
    found = []
    for index, slot in enumerate(slots):
        is_edge = (
            index in {0, len(slots) - 1}
            or slots[index - 1].row != slot.row
            or slots[index + 1].row != slot.row
        )
        if not slot.is_greedy or slot.presence < (CERTAIN_PRESENCE_AT_EDGE if is_edge else CERTAIN_PRESENCE):
            found.append(index)
    return sorted(found, key=lambda i: abs(slots[i].presence - 0.5))[:MAX_OPTIONAL]


def _subset(lattice: Lattice, slots: tuple[int, ...], log_presence: float) -> Subset:
    cuts, breaks = [], []
    for left, right in pairwise(slots):
        between = lattice.boundaries[left:right]
        whole = 1.0
        for boundary in between:
            whole *= 1 - boundary.probability
        cuts.append(1 - whole)
        breaks.append(any(boundary.is_row_break for boundary in between))
    presences = tuple(lattice.slots[i].presence for i in slots)
    return Subset(slots, log_presence, presences, tuple(cuts), tuple(breaks))
