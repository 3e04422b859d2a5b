"""The characters of a plate, and what the recogniser says of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
BLANK = 0
"""CTC's class for "no character here"; the characters follow it in the order of `ALPHABET`."""
SEPARATOR = len(ALPHABET) + 1
"""A visible gap between code and number; the recogniser has a class of its own for it."""
CLASS_COUNT = SEPARATOR + 1

DIGITS = frozenset("0123456789")
LETTERS = frozenset(ALPHABET) - DIGITS

_INDEX = {character: index for index, character in enumerate(ALPHABET)}
_LIKELIHOOD_FLOOR = 1e-4  # one row that is wrong about a region must not rule it out for the others

# Pairs that lettering, dirt and few pixels turn into one another across the border of letters and digits, where
# the position on the plate decides, and the round letters among themselves.
_PAIRS = ("O0", "Q0", "D0", "OQ", "OD", "I1", "L1", "B8", "S5", "Z2", "G6", "A4")


def index_of(character: str) -> int:
    """Place in `ALPHABET`. Raises: KeyError: not one of its characters."""
    return _INDEX[character]


def _alike() -> NDArray[np.bool_]:
    table = np.eye(len(ALPHABET), dtype=np.bool_)
    for pair in _PAIRS:
        first, second = (_INDEX[character] for character in pair)
        table[first, second] = table[second, first] = True
    table.flags.writeable = False
    return table


LOOK_ALIKES = _alike()
"""(36, 36), symmetric: whether two characters are taken for each other. Each is its own look-alike."""


@dataclass(frozen=True, slots=True, eq=False)
class RowPosterior:
    """What the recogniser makes of one row of a plate.

    `probabilities`: (T, 38), a softmax over blank, `ALPHABET` and separator for each of T frames from left to
    right. `regions`: (R,), a softmax over the region classes that come with the model; of size 0 when it has none.

    Raises: ValueError: another shape.
    """

    probabilities: NDArray[np.float32]
    regions: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.probabilities.ndim != 2 or self.probabilities.shape[1] != CLASS_COUNT:
            raise ValueError(f"probabilities are (T, {CLASS_COUNT}), not {self.probabilities.shape}")
        if self.regions.ndim != 1:
            raise ValueError(f"regions are (R,), not {self.regions.shape}")


def region_probabilities(rows: Sequence[RowPosterior], region_classes: Sequence[str]) -> Mapping[str, float]:
    """What the rows of a plate say together of its region, summing to 1; empty when they say nothing.

    A product, as the rows show different characters of one region: a row of one letter that could be anywhere
    takes nothing from the row that knows.

    Raises: ValueError: a row has another number of classes.
    """
    known = [row.regions for row in rows if row.regions.size]
    if not known or not region_classes:
        return {}
    if any(len(regions) != len(region_classes) for regions in known):
        raise ValueError(f"the rows do not speak of {len(region_classes)} regions")
    logs = np.sum([np.log(np.maximum(r.astype(np.float64), _LIKELIHOOD_FLOOR)) for r in known], axis=0)
    shares = np.exp(logs - logs.max())
    shares /= shares.sum()
    return dict(zip(region_classes, (float(share) for share in shares), strict=True))
